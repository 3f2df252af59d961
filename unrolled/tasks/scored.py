"""A report with what a run lowers on its validation part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unrolled.tasks.measures import Report
from unrolled.tasks.units import Units


@dataclass(frozen=True)
class Scored:
    """`objective`: of the validation part, lower is better; the report is for people."""

    report: Report
    objective: float

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, of the report's value; the value itself where there are too few items for one."""
        return self.report.interval or (self.report.value, self.report.value)

    @property
    def units(self) -> Units | None:
        """What each held-out row adds to the value; None where the value isn't a mean."""
        return self.report.each

    @property
    def value(self) -> float:
        """The figure that counts."""
        return self.report.value

    def text(self) -> str:
        """The whole report, for a terminal."""
        return self.report.text()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        report = self.report
        return report.to_dict() | {
            "value": report.value,
            "unit": report.measures[report.primary].words,
            "better": "higher" if report.higher_is_better else "lower",
            "interval": list(self.interval),
            "objective": self.objective,
        }
