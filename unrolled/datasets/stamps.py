"""Time stamps as whole steps of a frequency: texts are parsed, the frequency is found, daylight-saving jumps are told.

Numbers stay numbers; dates become seconds since 1970 (UTC where a zone is named, else the local clock as it stands).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.values import number, shown
from unrolled.errors import UserError, unknown

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]

MONTHS = {
    name: at
    for at, (short, rest) in enumerate(
        (
            ("jan", "uary"), ("feb", "ruary"), ("mar", "ch"), ("apr", "il"), ("may", ""), ("jun", "e"), ("jul", "y"),
            ("aug", "ust"), ("sep", "tember"), ("oct", "ober"), ("nov", "ember"), ("dec", "ember"),
        ),
        1,
    )
    for name in {short, short + rest}
}  # fmt: skip
YEAR_MONTH = re.compile(r"(\d{4})[-/. ](\d{1,2})$")
NAMED_MONTH = re.compile(r"(?:(\d{1,2})[-/. ])?([A-Za-z]{3,9})\.?[-/., ]+(\d{1,2}, *)?(\d{4}|\d{2})$")
YEAR_NAMED = re.compile(r"(\d{4})[-/. ]([A-Za-z]{3,9})\.?(?:[-/. ](\d{1,2}))?$")
QUARTER = re.compile(r"(\d{4})[-/ ]?[Qq]([1-4])$")
DAY_FIRST = re.compile(r"(\d{1,2})[./](\d{1,2})[./](\d{4})(?:[ T](.+))?$")
MINUTE, HOUR, DAY, WEEK = 60.0, 3600.0, 86400.0, 604800.0
CALENDAR_YEARS = (1000, 2500)  # whole numbers between are years where the column is called so


class Parsed(NamedTuple):
    """A stamp: seconds since 1970, or a number; whether it is a date, and whether it names a zone."""

    at: float
    date: bool
    zoned: bool


@lru_cache(maxsize=1 << 16)
def parse(cell: object) -> Parsed:
    """One cell as a point in time: ISO 8601, `2020-01`, `2020Q1`, `Jan 2020`, `3 March 2020`, `31.12.2020`, or a number.

    Raises ValueError in words for anything else, a missing one too, and for `3/4/2020`, which is two days.
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        raise ValueError("no time stamp")
    if not isinstance(cell, str):
        return _of_number(cell)
    text = cell.strip()
    try:
        return _of_number(text)
    except ValueError:
        pass
    if (when := _date(text)) is None:
        raise ValueError(f"{shown(cell)} is no time stamp")
    zoned = when.tzinfo is not None
    return Parsed((when if zoned else when.replace(tzinfo=UTC)).timestamp(), True, zoned)


def _of_number(cell: object) -> Parsed:
    found = number(cell)
    if not np.isfinite(found):
        raise ValueError(f"{shown(cell)} is no time stamp")
    return Parsed(found, False, False)


def _date(text: str) -> datetime | None:
    """A date in one of the spellings that mean one day only."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    if match := YEAR_MONTH.match(text):
        return _made(int(match[1]), int(match[2]), 1)
    if match := QUARTER.match(text):
        return _made(int(match[1]), 3 * int(match[2]) - 2, 1)
    if match := YEAR_NAMED.match(text):
        return _made(int(match[1]), MONTHS.get(match[2].lower(), 0), int(match[3] or 1))
    if match := NAMED_MONTH.match(text):
        year = int(match[4]) + (0 if len(match[4]) == 4 else 1900 if int(match[4]) >= 50 else 2000)
        day = int(match[1] or (match[3] or "1").rstrip(", "))
        return _made(year, MONTHS.get(match[2].lower(), 0), day)
    if match := DAY_FIRST.match(text):
        return _day_first(match, text)
    return None


def _day_first(match: re.Match[str], text: str) -> datetime | None:
    first, second = int(match[1]), int(match[2])
    if "/" in text and first <= 12 and second <= 12 and first != second:
        raise ValueError(f"{shown(text)} may be two days: write dates as 2020-12-31")
    day, month = (first, second) if "." in text or first > 12 or first == second else (second, first)
    when = _made(int(match[3]), month, day)
    if when is None or not match[4]:
        return when
    try:
        clock = datetime.fromisoformat(f"2000-01-01T{match[4].strip()}")
    except ValueError:
        return None
    return when.replace(hour=clock.hour, minute=clock.minute, second=clock.second)


def _made(year: int, month: int, day: int) -> datetime | None:
    try:
        return datetime(year, month, day)
    except ValueError:
        return None


@dataclass(frozen=True)
class Frequency:
    """The distance between steps: `months` calendar months, or `step` seconds (numbers: `step` of their unit). `anchor`:
    step 0, as a stamp. `rows`: stamps aren't looked at, a row is a step.
    """

    kind: Literal["months", "seconds", "numbers", "rows"]
    step: float
    anchor: float = 0.0

    @property
    def words(self) -> str:
        """For people: hourly, every 15 minutes, monthly ..."""
        if self.kind == "rows":
            return "row by row"
        if self.kind == "numbers":
            return f"every {self.step:g}"
        if self.kind == "months":
            usual = {1: "monthly", 3: "quarterly", 12: "yearly"}
            return usual.get(int(self.step), f"every {self.step:g} months")
        for unit, name, one in (
            (WEEK, "weeks", "weekly"), (DAY, "days", "daily"), (HOUR, "hours", "hourly"),
           (MINUTE, "minutes", "every minute"),
        ):  # fmt: skip
            if self.step % unit == 0:
                many = int(self.step // unit)
                return one if many == 1 else f"every {many} {name}"
        return f"every {self.step:g} seconds"

    @property
    def seasons(self) -> tuple[int, ...]:
        """Steps of the periods that such data usually have, the shortest first."""
        if self.kind == "months":
            return (round(12 / self.step),) if 12 % self.step == 0 and self.step < 12 else ()
        if self.kind != "seconds":
            return ()
        year = 365.25 * DAY
        found = [period / self.step for period in (DAY, WEEK, year)]
        return tuple(round(many) for many in found if 1.5 < many <= 10_000)

    def places(self, at: Numbers) -> tuple[Whole, Numbers]:
        """The step nearest to each stamp, and how far off it is as a share of a step."""
        if self.kind == "months":
            exact = np.array([_months(seconds) for seconds in at]) / self.step
            exact -= _months(self.anchor) / self.step
        else:
            exact = (at - self.anchor) / self.step
        nearest = np.rint(exact).astype(np.int64)
        return nearest, np.abs(exact - nearest)

    def stamp(self, place: int) -> str:
        """The stamp of a step, as text: a date as ISO 8601, or a number."""
        if self.kind == "rows":
            return str(place)
        if self.kind == "numbers":
            return f"{self.anchor + place * self.step:.12g}"
        when = self.moment(place)
        if self.kind == "months":
            return f"{when:%Y-%m-%d}" if when.day > 1 else f"{when:%Y-%m}"
        return f"{when:%Y-%m-%d}" if self.step % DAY == 0 and not _clock(when) else when.isoformat()

    def moment(self, place: int) -> datetime:
        """A step as a point in time, UTC or the local clock."""
        start = datetime(1970, 1, 1) + timedelta(seconds=self.anchor)
        if self.kind != "months":
            return start + timedelta(seconds=place * self.step)
        months = start.year * 12 + start.month - 1 + place * int(self.step)
        return start.replace(year=months // 12, month=months % 12 + 1, day=min(start.day, 28))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Frequency:
        """What `to_dict` described."""
        return cls(saved["kind"], float(saved["step"]), float(saved["anchor"]))


NAMED = {
    "min": ("seconds", MINUTE), "h": ("seconds", HOUR), "D": ("seconds", DAY), "W": ("seconds", WEEK), "s": ("seconds",
    1.0), "M": ("months", 1.0), "Q": ("months", 3.0), "Y": ("months", 12.0),
}  # fmt: skip


def named(text: str, anchor: float) -> Frequency:
    """`15min`, `h`, `D`, `W`, `M`, `Q`, `Y`, `rows`, or a number. Raises UserError for another."""
    if text == "rows":
        return Frequency("rows", 1.0)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)?([A-Za-z]*)", text)
    if match and (match[1] or match[2]) and (match[2] in NAMED or not match[2]):
        many = float(match[1] or 1)
        kind, unit = NAMED[match[2]] if match[2] else ("numbers", 1.0)
        if many > 0:
            return Frequency(kind, many * unit, anchor)  # type: ignore[arg-type]
    raise unknown("frequency", text, ["auto", "rows", *NAMED, "15min", "4h"])


def inferred(at: Numbers, dates: bool) -> Frequency:
    """The frequency of rising stamps, those of one series: months where each is the same day of a month, else the
    commonest distance. Raises UserError for fewer than three.
    """
    stamps = np.unique(at)
    if len(stamps) < 3:
        raise UserError(
            f"{len(stamps)} different time stamps: too few to tell how far apart they are. Say so: frequency=D, 15min, rows"
        )
    if dates:
        months = np.array([_months(seconds) for seconds in stamps])
        off = months - months[0]
        if (np.abs(off - np.rint(off)) < 1e-9).all() or _month_ends(stamps):
            apart = np.diff(np.floor(months + 1e-9))
            step = _commonest(apart[apart > 0]) if (apart > 0).any() else 1.0
            return Frequency("months", step, float(stamps[0]))
    return Frequency("seconds" if dates else "numbers", _commonest(np.diff(stamps)), float(stamps[0]))


def _commonest(apart: Numbers) -> float:
    """The distance that comes up most often; of several the smallest."""
    count = Counter(np.round(apart, 6).tolist())
    most = max(count.values())
    return float(min(step for step, many in count.items() if many == most))


def _months(seconds: float) -> float:
    """Months since year 0, days as a share of a month."""
    when = datetime(1970, 1, 1) + timedelta(seconds=seconds)
    into = (when.day - 1) + (when.hour * 3600 + when.minute * 60 + when.second) / DAY
    return when.year * 12 + when.month - 1 + into / 31


def _month_ends(stamps: Numbers) -> bool:
    """Whether each stamp is the last day of its month."""
    days = [datetime(1970, 1, 1) + timedelta(seconds=s) for s in stamps]
    return all((day + timedelta(days=1)).month != day.month for day in days)


def _clock(when: datetime) -> bool:
    return bool(when.hour or when.minute or when.second)


def spring_forward(frequency: Frequency, place: int) -> bool:
    """Whether a step that is missing is the hour that a local clock leaps over: a Sunday night from March to April, or
    from September to October in the south.
    """
    if frequency.kind != "seconds" or frequency.step > HOUR:
        return False
    when = frequency.moment(place)
    return when.weekday() == 6 and when.hour <= 3 and when.month in (3, 4, 9, 10)


def fall_back(frequency: Frequency, place: int) -> bool:
    """Whether a step that comes up twice is the hour that a local clock repeats in autumn."""
    if frequency.kind != "seconds" or frequency.step > HOUR:
        return False
    when = frequency.moment(place)
    return when.weekday() == 6 and when.hour <= 3 and when.month in (3, 4, 10, 11)


def stamps_of(cells: Sequence[object], origins: Sequence[str], column: str, problems: list[str]) -> Numbers:
    """(N,) of a column's cells, NaN where one can't be read, which is told in `problems`. Raises UserError where dates and
    numbers, or stamps with and without zone, stand together.
    """
    at, kinds = np.full(len(cells), np.nan), dict[tuple[bool, bool], str]()
    for row, (cell, origin) in enumerate(zip(cells, origins, strict=True)):
        try:
            found = parse(cell)
        except ValueError as error:
            problems.append(
                f"{origin}: column {column!r}: {error}. Expected a date (2020-12-31T08:00), or a number in every row."
            )
            continue
        at[row] = found.at
        kinds.setdefault((found.date, found.zoned), origin)
    if len({date for date, _ in kinds}) > 1:
        places = [
            next(where for (date, _), where in kinds.items() if date is wanted) for wanted in (True, False)
        ]
        raise UserError(
            f"column {column!r} holds dates ({places[0]}) and numbers ({places[1]}). Write all of them one way."
        )
    if len(kinds) > 1:
        raise UserError(
            f"column {column!r}: some time stamps name a zone ({kinds[True, True]}), others don't ({kinds[True, False]}). "
            "Nobody knows which moment is meant: write all with their zone (2020-12-31T08:00+01:00), or all without."
        )
    return at
