"""Rows that no task reads yet, in plain words: what they look like, and commands only where these would work."""

from __future__ import annotations

import math
import shlex
from itertools import pairwise

from unrolled.datasets.assemble import seconds
from unrolled.datasets.dealt import deal_rows
from unrolled.datasets.readers import Record
from unrolled.datasets.rows import Rows
from unrolled.datasets.trial import try_out
from unrolled.datasets.understand import Asked, Column
from unrolled.errors import UserError

TIMED = 500  # rows on which a time has to rise
TRIED = 2_000  # first rows with which a command is tried


def unread(data: str, rows: list[Record], found: dict[str, Column], why: str) -> str:
    """What to say of rows for which `understand` said `why`: those of its commands that work stay."""
    head = why.partition("\n")[0]
    commands = [line for line in why.splitlines()[1:] if _works(line, data, rows, found)]
    like = _like(rows, found)
    if not commands:
        head = head.partition(" Say so, ")[0]
    said = [f"  {like}"] if like else []
    return "\n".join([head, *said, *commands])


def _like(rows: list[Record], found: dict[str, Column]) -> str:
    """What the columns look like, where that is a task that there is not."""
    time = next((c.name for c in found.values() if _rises(c, rows)), None)
    numbers = [c.name for c in found.values() if c.kind == "number" and c.name not in (time, "id")]
    texts = [c.name for c in found.values() if c.kind == "text" and c.name != time]
    if time and numbers:
        return f"It looks like {_some(numbers)} over {time}, to be forecast. No task does that yet."
    if len(texts) == 2 and len(found) == 2:
        return (
            f"It looks like pairs of texts, {texts[0]} and {texts[1]}, one to be written from the other. No task does that "
            "yet."
        )
    return ""


def _rises(column: Column, rows: list[Record]) -> bool:
    """Whether a column is a time: it rises from row to row, or within stretches of rows that begin anew."""
    if column.kind not in ("number", "text", "category") or column.missing:
        return False
    try:
        times = [seconds(row.get(column.name)) for row in rows[:TIMED]]
    except ValueError:
        return False
    steps = [b - a for a, b in pairwise(times)]
    falls = sum(step < 0 for step in steps)
    rising = [step for step in steps if step > 0]
    if not rising or any(not math.isfinite(time) for time in times) or len(rising) + falls < len(steps):
        return False
    return falls * 4 <= len(steps) and max(rising) <= 100 * min(rising)


def _works(line: str, data: str, rows: list[Record], found: dict[str, Column]) -> bool:
    """Whether the command of this line gets as far as training."""
    words = shlex.split(line)
    if words[:2] != ["unrolled", "train"]:
        return False
    keys = dict(word.partition("=")[::2] for word in words[2:])
    asked = Asked(keys.get("task"), keys.get("input"), keys.get("target"), keys.get("group", "auto"))
    try:
        dealt = deal_rows(Rows(rows[:TRIED]), asked, data)
        if any(_rises(found[name], rows) for name in dealt.reading.inputs if name in found):
            return False
        try_out(dealt).check()
    except UserError:
        return False
    return True


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" and more" if len(names) > 3 else "")
