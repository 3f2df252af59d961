"""What every look inside finds: words for a terminal, plain data, and blocks for a page, all from the same numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from unrolled.report import Heatmap, HiddenLines, IntervalChart, LineChart, Scatter, Section, svg
from unrolled.report.markup import Markup, join, tag

CHARTS = (Heatmap, HiddenLines, IntervalChart, LineChart, Scatter)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A diagnosis. run: whose; notes: what is to be known of how it was found; page and pictures: where it was drawn."""

    title: ClassVar[str]

    run: str = ""
    notes: list[str] = field(default_factory=list)
    page: str = ""
    pictures: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """What was found, for a terminal."""
        raise NotImplementedError

    def lead(self) -> str:
        """What was found, in a sentence or two."""
        raise NotImplementedError

    def blocks(self) -> list[Section]:
        """What was found, for a page."""
        raise NotImplementedError

    def text(self) -> str:
        """The lines, what is to be noted, and where the page is."""
        said = [*self.lines(), *(f"note      {note}" for note in self.notes)]
        return "\n".join([*said, *([f"page      {self.page}"] if self.page else [])])

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def charts(self) -> list[str]:
        """The pictures among the blocks, as SVG."""
        return [svg(block) for block in self.blocks() if isinstance(block, CHARTS)]

    def _repr_html_(self) -> str:
        """What a notebook shows: the sentence, the pictures, the words."""
        drawn = [Markup(one) for one in self.charts()]
        return str(tag("div", tag("p", self.lead()), join(*drawn), tag("pre", "\n".join(self.lines()))))
