"""Pairs that are generated, each a pure function of (seed, index): letters to be copied or turned round, and dates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from hashlib import sha256
from string import ascii_lowercase

import numpy as np

from unrolled.datasets.readers import Record
from unrolled.errors import UserError

FIRST_DAY, DAYS = date(1900, 1, 1), 73049  # to 2099-12-31
OF = 25  # of letters 3 residues of so many are for the test, and 1 is for validation
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FORMS = (
    "{day} {month} {year}", "{day}. {month} {year}", "{day} {short} {year}", "{day}-{short}-{year}",
    "{month} {day}, {year}", "{month} {nth}, {year}", "{short} {day}, {year}", "{short}. {nth} {year}",
    "the {nth} of {month} {year}", "the {nth} of {month}, {year}", "{nth} {month} {year}",
    "{weekday}, {day} {month} {year}", "{weekday}, {month} {day}, {year}", "{weekday} {nth} {short} {year}",
    "{dd}.{mm}.{year}", "{day}.{number}.{year}", "{mm}/{dd}/{year}", "{number}/{day}/{year}",
    "{year}/{mm}/{dd}", "{year}.{mm}.{dd}", "{year} {short} {dd}", "{year}, {month} {day}", "{year}{mm}{dd}",
)  # fmt: skip
"""With slashes between, the month stands before the day or the year first; with full stops, the day or the year first."""


def share_of(text: str, of: int) -> int:
    """A number below `of` that follows from the text alone: the first 8 hexadecimal digits of its SHA-256, modulo `of`."""
    return int(sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8], 16) % of


def letters(
    order: str, count: int, longest: int = 30, beyond: int = 0, tested: int = 40, seed: int = 0
) -> Iterator[Record]:
    """`count` words of 1 to `longest` random letters, then `beyond` of up to `tested`, which are all for the test: `source`,
    `target` (the same, or backwards where the order is "reverse") and `split`, by hash of the letters, so that no word is
    both trained on and tested. Raises UserError for an unknown order.
    """
    if order not in ("copy", "reverse"):
        raise UserError(f"order = {order!r}. Expected copy or reverse.")
    for index in range(count + beyond):
        draw = np.random.default_rng([seed, index])
        size = int(draw.integers(1, longest + 1) if index < count else draw.integers(longest + 1, tested + 1))
        word = "".join(ascii_lowercase[at] for at in draw.integers(26, size=size))
        place = share_of(word, OF)
        part = "test" if place < 3 or size > longest else "valid" if place == 3 else "train"
        yield {
            "source": word, "target": word[::-1] if order == "reverse" else word, "split": part,
            "origin": f"{order}:{index}",
        }  # fmt: skip


def dates(count: int, seed: int = 0) -> Iterator[Record]:
    """Dates of 1900 to 2099 as people write them: `date`, `iso` and `split`, by hash of the text: of 20 residues 0 and 1 are
    for the test, 2 is for validation.
    """
    for index in range(count):
        draw = np.random.default_rng([seed, index])
        when = FIRST_DAY + timedelta(days=int(draw.integers(DAYS)))
        text = written(when, FORMS[draw.integers(len(FORMS))])
        text = (text, text, text.lower(), text.upper())[draw.integers(4)]
        place = share_of(text, 20)
        yield {
            "date": text, "iso": when.isoformat(), "split": "test" if place < 2 else "valid" if place == 2 else "train",
            "origin": f"dates:{index}",
        }  # fmt: skip


def written(when: date, form: str) -> str:
    """The date in one of `FORMS`."""
    month = MONTHS[when.month - 1]
    return form.format(
        day=when.day, dd=f"{when.day:02}", number=when.month, mm=f"{when.month:02}", year=when.year, month=month,
        short=month[:3], weekday=WEEKDAYS[when.weekday()], nth=_nth(when.day),
    )  # fmt: skip


def _nth(day: int) -> str:
    ending = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"
