"""What every report of a held-out score has in common, in words and as plain JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isfinite, isnan
from typing import Any, ClassVar, NamedTuple

from numpy.typing import ArrayLike

from unrolled.errors import unknown
from unrolled.tasks.measures.bootstrap import Numbers, Statistic, intervals, resamples_for, units_of, value_of
from unrolled.tasks.units import Units, grouped

WIDTH = 100  # columns of a terminal


class Measure(NamedTuple):
    """One measure: its name in words, its unit, its direction, and what makes it from predictions and truth."""

    words: str
    unit: str
    higher_is_better: bool
    of: Callable[..., Statistic]
    quick: bool = (
        True  # a resample costs a pass over the items; else a pass a class, and no interval unless primary
    )


@dataclass(frozen=True)
class Report:
    """How good predictions are: the measure that decides with its 95 % interval, and all the others.

    `values`: every measure by name; NaN (null in JSON) where it is undefined. `intervals`: of most of them. `interval`
    is None where fewer than two items, groups or sequences were scored. `each`: what every one of them adds to the value,
    where that is a mean over items; not in `to_dict`. `notes`: what a reader has to know, in words.
    """

    kind: ClassVar[str] = ""
    measures: ClassVar[Mapping[str, Measure]] = {}

    primary: str
    value: float
    interval: tuple[float, float] | None
    higher_is_better: bool
    unit: str
    items: int
    units: int  # what was resampled: items, groups or sequences
    resamples: int
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    each: Units | None = field(default=None, repr=False, compare=False)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: no NaN, no tuples, no numpy."""
        plain: dict[str, Any] = _plain({"kind": self.kind} | asdict(replace(self, each=None)))
        del plain["each"]
        return plain

    def text(self) -> str:
        """For a terminal of 100 columns."""
        return "\n".join([self.headline(), *self.body(), *wrapped(self._rest()), *self.notes])

    def headline(self) -> str:
        """The measure that decides, with its interval and how much was scored."""
        between = f", 95 % {shown(self.interval[0])} to {shown(self.interval[1])}" if self.interval else ""
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.measures[self.primary].words} {shown(self.value)}{unit}{between} ({self._counted()})"

    def body(self) -> list[str]:
        """The tables of this kind of report."""
        return []

    def _counted(self) -> str:
        grouped = f" in {self.units} groups" if self.units != self.items else ""
        return f"{self.items} item{'s' * (self.items != 1)}{grouped}"

    def _rest(self) -> list[str]:
        return [
            f"{self.measures[name].words} {shown(value)}"
            for name, value in self.values.items()
            if name != self.primary and not isnan(value)
        ]


def headed(
    measures: Mapping[str, Measure],
    primary: str,
    made: Mapping[str, Statistic],
    items: int,
    groups: ArrayLike | None,
    seed: int,
    means: Mapping[str, Numbers] | None = None,
) -> dict[str, Any]:
    """The fields that every `Report` has, from its statistics by name. means: of measures that are a mean over items, what
    each item adds (N,). Raises UserError for an unknown primary measure.
    """
    if primary not in measures:
        raise unknown("measure", primary, measures)
    unit = units_of(items, groups)
    quick = {name: made[name] for name in made if measures[name].quick or name == primary}
    found = intervals(quick, items, groups, seed=seed)
    values = {name: found[name].value if name in found else value_of(made[name], items) for name in made}
    known = {name: (each.low, each.high) for name, each in found.items() if isfinite(each.low)}
    return {
        "primary": primary,
        "value": values[primary],
        "interval": known.get(primary),
        "higher_is_better": measures[primary].higher_is_better,
        "unit": measures[primary].unit,
        "items": items,
        "units": int(unit.max()) + 1,
        "resamples": resamples_for(items),
        "values": values,
        "intervals": known,
        "each": grouped(means[primary], unit) if means and primary in means else None,
    }


def shown(value: float) -> str:
    """A figure for people: four digits, no exponent where it can be helped."""
    if isnan(value):
        return "undefined"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.6g}"


def short(name: str, width: int) -> str:
    """The name in at most `width` columns."""
    return name if len(name) <= width else name[: width - 1] + "…"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], name_width: int = 40) -> list[str]:
    """Lines of a table: names to the left, figures to the right, every column as wide as it must be."""
    cells = [[short(row[0], name_width), *row[1:]] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in cells
    ]


def wrapped(parts: Sequence[str]) -> list[str]:
    """Parts joined by " · " in lines of at most `WIDTH` columns."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 3 + len(part) <= WIDTH:
            lines[-1] += f" · {part}"
        else:
            lines.append(part)
    return lines


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value
