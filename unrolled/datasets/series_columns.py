"""Which columns of a table make series: the time, the name of the series, what is foretold, what is only known so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from unrolled.datasets import sets
from unrolled.datasets.asked import Asked
from unrolled.datasets.columns import Column, columns
from unrolled.datasets.folders import media_records
from unrolled.datasets.readers import Record
from unrolled.datasets.rows import raw_rows
from unrolled.datasets.stamps import parse
from unrolled.datasets.understand import ANSWERS, SPLIT, listed
from unrolled.errors import UserError, unknown

TIMES = (
    "time", "date", "datetime", "timestamp", "ds", "month", "year", "week", "day", "hour", "quarter", "period", "frame",
    "time_s", "t",
)  # names of columns of numbers that are taken for times  # fmt: skip
IDS = (
    "id",
    "unique_id",
    "series",
    "series_id",
    "item",
    "item_id",
    "sensor",
    "station",
    "store",
    "track",
    "name",
)
PLACES = (("x", "y", "z"), ("x", "y"), ("lat", "lon"), ("latitude", "longitude"))  # of things that move
LOOKED_AT = 50  # cells of a column that are all stamps where it holds times
SAMPLE = 4000  # rows that are looked at


@dataclass(frozen=True)
class SeriesColumns:
    """`time` None: a row is a step. `id` None: one series. together: the targets are foretold at once from their common
    past; else each column is a series of its own. `past`: columns that are known only as far as the series go. `why`:
    (key, value, reason) of each decision that nobody asked for.
    """

    time: str | None
    id: str | None
    targets: tuple[str, ...]
    past: tuple[str, ...] = ()
    together: bool = False
    why: tuple[tuple[str, str, str], ...] = ()

    @property
    def read(self) -> tuple[str, ...]:
        """The columns of numbers, targets first."""
        return (*self.targets, *self.past)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {key: value for key, value in asdict(self).items() if key != "why"}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> SeriesColumns:
        """What `to_dict` described."""
        return cls(
            saved["time"], saved["id"], tuple(saved["targets"]), tuple(saved["past"]), saved["together"]
        )


def seen_as_series(path: Path, asked: Asked) -> SeriesColumns | None:
    """`forecasts` of a file or folder of tables; None for what is none, as sounds and pictures."""
    if asked.task not in (None, "forecast"):
        return None
    if sets.of(path) or media_records(path) is not None:
        if asked.task == "forecast":
            raise UserError(
                f"{path}: task=forecast needs a table with a column of times and one of numbers, or more."
            )
        return None
    return forecasts(list(islice(raw_rows(path), SAMPLE)), asked)


def forecasts(rows: Sequence[Record], asked: Asked) -> SeriesColumns | None:
    """The reading of a table whose task is forecast, from its first rows; None where it is for another task, by what was
    asked or by how it looks: a rising time column, numbers beside it, and no column that answers.

    Raises UserError where a forecast was asked for and can't be.
    """
    if asked.task not in (None, "forecast"):
        return None
    found = columns(islice(rows, SAMPLE))
    if asked.task == "forecast":
        return _asked_for(rows, found, asked)
    if asked.target or asked.input or asked.held or SPLIT in found:
        return None
    time = _time_of(found, asked)
    if time is None or any(
        c.kind not in ("number", "empty") and not c.dates for c in _others(found, time, asked)
    ):
        return None
    if any(name.lower() in ANSWERS for name in found) and not _usual(found):
        return None
    id_ = _id_of(rows, found, asked, time)
    numbers = [n for n, c in found.items() if n not in (time, id_) and c.kind == "number"]
    if not numbers or not _rising(rows, time, id_):
        return None
    made = _targets(found, asked, time, id_, [])
    what = "is a number" if len(numbers) == 1 else "are numbers"
    reason = f"{time} is a rising time and {', '.join(made.targets[:4])} {what}"
    why = (("task", "forecast", f"{reason}; no column answers"), *made.why)
    return SeriesColumns(time, id_, made.targets, made.past, made.together, why)


def _asked_for(rows: Sequence[Record], found: dict[str, Column], asked: Asked) -> SeriesColumns:
    """The reading of a table of which a forecast was asked."""
    for key, names in (
        ("target", listed(asked.target)), ("input", listed(asked.input)), ("time", listed(asked.time)),
        ("id", listed(asked.id if asked.id != "auto" else None)),
    ):  # fmt: skip
        for name in names:
            if name not in found:
                raise unknown(f"column ({key}=)", name, found)
    time = _time_of(found, asked)
    why: list[tuple[str, str, str]] = []
    if time is not None and asked.time is None:
        why.append(("time", time, "the column of time stamps"))
    id_ = _id_of(rows, found, asked, time)
    if id_ is not None and asked.id == "auto":
        why.append(("id", id_, "names the series, of which each time comes up several times"))
    made = _targets(found, asked, time, id_, why)
    if not made.targets:
        raise UserError(
            f"no column of numbers to be foretold: there is {', '.join(found)}. Name one with target=, and "
            "the time with time="
        )
    wordy = [name for name in made.read if found[name].kind not in ("number", "empty")]
    if wordy:
        raise UserError(
            f"{wordy[0]} holds {found[wordy[0]].kind}; a forecast reads and foretells numbers. Leave it "
            "out of target= and input="
        )
    return made


def _others(found: dict[str, Column], time: str, asked: Asked) -> list[Column]:
    """All columns but the time and those that may name series."""
    ids = (*IDS, str(asked.id).lower())
    return [c for name, c in found.items() if name != time and name.lower() not in ids]


def _usual(found: dict[str, Column]) -> bool:
    """Whether `y` is a series and no answer: beside `ds`, or as a place beside `x`."""
    names = {name.lower() for name in found}
    return names & {*ANSWERS} == {"y"} and ("ds" in names or "x" in names)


def _time_of(found: dict[str, Column], asked: Asked) -> str | None:
    """The column of times: as asked, the one called so, or the one of dates."""
    if asked.time is not None:
        if asked.time not in found:
            raise unknown("column (time=)", asked.time, found)
        return asked.time
    called = [name for name, c in found.items() if name.lower() in TIMES and _stamps(c)]
    dated = [name for name, c in found.items() if c.kind in ("text", "category") and _stamps(c)]
    return next(
        iter([name for name in dated if name in called] or called or (dated if len(dated) == 1 else [])), None
    )


def _stamps(column: Column) -> bool:
    """Whether all that stands in a column are time stamps."""
    if column.kind == "number":
        return True
    if column.kind not in ("text", "category"):
        return False
    try:
        return all(parse(text) is not None for text in islice(sorted(column.distinct), LOOKED_AT))
    except ValueError:
        return False


def _id_of(rows: Sequence[Record], found: dict[str, Column], asked: Asked, time: str | None) -> str | None:
    """The column that names series: as asked; else, where times repeat, one called so under whose names they don't."""
    if asked.id != "auto":
        return asked.id
    if time is None:
        return None
    sample = list(islice(rows, SAMPLE))
    if len({row.get(time) for row in sample}) == len(sample):
        return None
    likely = [name for name in found if name.lower() in IDS]
    likely += [
        n for n, c in found.items() if c.kind == "category" and n not in (*likely, time) and not c.dates
    ]
    for name in likely:
        if len({(row.get(name), row.get(time)) for row in sample}) >= 0.98 * len(sample):
            return name
    return None


def _rising(rows: Sequence[Record], time: str, id_: str | None) -> bool:
    """Whether the times of each series rise, in the order of the rows."""
    last: dict[object, float] = {}
    for row in islice(rows, SAMPLE):
        try:
            at = parse(row.get(time)).at
        except ValueError:
            continue
        own = row.get(id_) if id_ else None
        if at < last.get(own, at):
            return False
        last[own] = at
    return bool(last)


def _targets(
    found: dict[str, Column], asked: Asked, time: str | None, id_: str | None, why: list[tuple[str, str, str]]
) -> SeriesColumns:
    """What is foretold, and what is read beside it."""
    past = listed(asked.input)
    if asked.target:
        targets = listed(asked.target)
        if both := [name for name in targets if name in past]:
            raise UserError(
                f"{both[0]} is named by target= and input=: what is foretold is read anyway. Leave it out of input="
            )
        return SeriesColumns(time, id_, targets, past, len(targets) > 1 or bool(past), tuple(why))
    open_ = [n for n, c in found.items() if n not in (time, id_, *past) and c.kind in ("number", "empty")]
    lower = {name.lower(): name for name in open_}
    moving = next(
        (names for names in PLACES if id_ is not None and all(name in lower for name in names)), None
    )
    if moving is not None:
        targets = tuple(lower[name] for name in moving)
        why.append(
            ("target", ",".join(targets), f"{' and '.join(targets)} are a place: one path for each {id_}")
        )
        return SeriesColumns(time, id_, targets, past, True, tuple(why))
    return SeriesColumns(time, id_, tuple(open_), past, bool(past), tuple(why))
