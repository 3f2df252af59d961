"""What a notebook shows of answers: plain HTML in which every text from outside is text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from unrolled.training.predict import Predictions


class Cells(HTMLParser):
    """The texts of a table's cells, line by line, and every tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.lines: list[list[str]] = []
        self.tags: set[str] = set()
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.lines.append([])
        if tag in ("td", "th"):
            self._inside = True
            self.lines[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.lines[-1][-1] += data


def test_answers_show_their_rows_and_how_likely_each_class_is() -> None:
    rows = [
        {"text": "<script>alert(1)</script>", "label": "b", "p(a)": 0.125, "p(b)": 0.875},
        {"text": "x" * 500, "label": "a", "p(a)": 0.5, "p(b)": 0.5},
    ]
    shown = Predictions(rows, 2)._repr_html_()
    cells = Cells(shown)
    assert cells.lines[0] == ["text", "label", "a", "b"]
    assert cells.lines[1] == ["<script>alert(1)</script>", "b", "12.5%", "87.5%"]
    assert len(cells.lines[2][0]) <= 120 and cells.tags <= {
        "div",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "b",
    }
    assert re.findall("<b>(.*?)</b>", shown) == ["87.5%", "50.0%"]


def test_of_many_classes_the_likeliest_are_named_and_of_many_rows_the_first() -> None:
    row = {"n": 1.23456789, "label": "7"} | {f"p({n})": n / 45 for n in range(10)}
    shown = Predictions([row] * 50, 50)._repr_html_()
    cells = Cells(shown)
    assert cells.lines[1] == ["1.235", "7", "9 20%, 8 18%, 7 16%"] and len(cells.lines) == 21
    assert "and 30 more" in shown
    assert "5,000 answers in out.csv" in Predictions([], 5000, written="out.csv")._repr_html_()
