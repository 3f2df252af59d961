"""The report writer: every kind of section, hostile names, broken numbers, nothing fetched, nothing half-written."""

from __future__ import annotations

import base64
import hashlib
import math
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.test_report_example import example
from unrolled.errors import RunFailed, UserError
from unrolled.report import (
    Cards,
    Code,
    ColouredText,
    Definitions,
    Dot,
    Heatmap,
    HiddenLines,
    IntervalChart,
    IntervalRow,
    LineChart,
    Sample,
    Scatter,
    Section,
    Sentence,
    Series,
    Table,
    Tune,
    page,
    svg,
    write,
)
from unrolled.report.frame import asset, spread
from unrolled.report.heat import palette, png
from unrolled.report.kinds import Chart
from unrolled.report.lines import thin
from unrolled.report.scale import Scale, compact, labels, linear_ticks, log_ticks, number

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "\" onmouseover='alert(1)' x=\"",
    "]]><svg onload=alert(1)>",
    "<!-- \u202eeil\u202c שלום 🎻 &amp; \x00\x1b[31m \ud800 \r\n\u2028",
)
VOID = {"meta", "input", "br", "hr"}


class Reader(HTMLParser):
    """Collects elements, attributes and text; notes tags that don't close in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def everything(name: str, value: float = 1.5) -> list[Section]:
    """Every kind of section with `name` in every text of it, and `value` in every number."""
    return [
        Sentence(name, name),
        Table([name, name], [[name, value], [name, None]], name, name, 0, name, (1,), [name]),
        LineChart(
            [
                Series(
                    name, {name: [1, 2, 3], "steps": [2, 4, 6]}, [3, value, 1], [2, value, 0], [4, value, 2]
                )
            ],
            name,
            title=name,
            caption=name,
            references=[(name, 2.0)],
        ),
        IntervalChart([IntervalRow(name, [1, value, 2], 1, 2)], name, name, name, 0, [(name, 1.7)]),
        Tune(name, [(0, 1, 60), (1, 1, 64)], name, b"RIFF", [1.0], name, name),
        Tune(name, [], title=name),
        Sample(name, name, name, name),
        Code(name, name, name),
        ColouredText([name, name], [value, -1.0], name, name, name, name),
        Definitions([(name, name), (name, value, name)], name, name),
        Cards([(name, name)], name),
        Heatmap([[1, value], [0, 3]], [name, name], [name, name], name, name, name, name),
        HiddenLines([[1, value], [0, 3]], [name, name], {0: name}, name, name, name, name),
        Scatter([Dot(name, 1, 2, name), Dot(name, value, 5)], name, name, name, name),
        Scatter([Dot(name, 1, 2), Dot(name, value, 5, name)], name, name, written=True),
    ]


def charts(name: str, value: float = 1.5) -> list[Chart]:
    return [s for s in everything(name, value) if isinstance(s, Chart)]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    reader = Reader(page(name, name, everything(name)))
    plain = Reader(page("name", "name", everything("name")))
    assert not reader.wrong and not reader.open
    # The same elements with the same attributes: nothing a name says becomes markup.
    hushed = [(tag, sorted(attrs)) for tag, attrs in reader.elements if tag not in ("title", "p")]
    assert hushed == [(tag, sorted(attrs)) for tag, attrs in plain.elements if tag not in ("title", "p")]
    assert not [a for _, attrs in reader.elements for a in attrs if a.startswith("on")]
    assert sum(tag == "script" for tag, _ in reader.elements) == 1
    if "\x00" not in name:
        assert name in "".join(reader.text)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_make_wellformed_svg(name: str) -> None:
    for chart in charts(name):
        root = ElementTree.fromstring(svg(chart))
        kinds = {element.tag.partition("}")[2] for element in root.iter()}
        assert kinds <= {"svg", "title", "style", "rect", "line", "path", "text", "circle", "image"}
        assert not [a for element in root.iter() for a in element.attrib if a.startswith("on")]


def test_nothing_is_fetched_and_only_our_script_may_run() -> None:
    text = example()
    reader = Reader(text)
    for _, attributes in reader.elements:
        for key in ("src", "href", "action", "srcset", "data"):
            assert (attributes.get(key) or "#").startswith(("#", "data:image/png", "data:audio/wav"))
    code = text.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    policy = next(str(a["content"]) for tag, a in reader.elements if a.get("http-equiv"))
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}';" in policy
    outside = re.sub(r'"http://www\.w3\.org/2000/svg"', "", text)
    assert not re.search(r"https?://|@import|url\(|innerHTML|document\.write|eval\(", outside)


def test_the_page_can_be_walked_by_ear_and_by_key() -> None:
    reader = Reader(example())
    names = [tag for tag, _ in reader.elements]
    assert (
        names.count("h1") == 1
        and names.count("main") == 1
        and names.count("caption") == names.count("table") == 1
    )
    ids = [attrs["id"] for _, attrs in reader.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for tag, attrs in reader.elements:
        if tag == "svg" and "role" in attrs:
            assert attrs["role"] == "img" and attrs["aria-label"]
        for pointer in ("aria-labelledby", "for"):
            assert pointer not in attrs or attrs[pointer] in ids
        if tag == "a":
            assert str(attrs["href"])[1:] in ids
    assert ("html", {"lang": "en"}) in reader.elements
    assert all(attrs.get("type") == "button" for tag, attrs in reader.elements if tag == "button")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -5.0, 1e300, -1e300, 1e-300])
def test_any_number_draws(value: float) -> None:
    for chart in [
        *charts("a", value),
        LineChart([Series("a", [1, 2, 3], [value, 2, value])], "y", x_log=True, y_log=True),
        LineChart([Series("a", [value] * 3, [value] * 3)], "y", references=[("r", value)]),
        IntervalChart([IntervalRow("a", [value] * 3, value, value)], "x", references=[("r", value)]),
        IntervalChart([IntervalRow("a", [value])], "x", x_log=True),
        Heatmap([[value]]),
        Heatmap([[value, 1.0]], diverging=True),
        HiddenLines([[value]], marked={0: "a", 7: "no such unit"}),
        Tune("t", [(value, 1, 60), (0, value, 60), (0, 1, 60)]),
    ]:
        for width in (360, 960):
            text = svg(chart, width)
            ElementTree.fromstring(text)
            drawn = re.findall(r' (?:d|x|y|x1|y1|x2|y2|cx|cy|width|height)="([^"]*)"', text)
            assert not re.search(r"nan|inf|\de", " ".join(drawn))
    page("t", "l", everything("a", value))


def test_empty_things_say_so() -> None:
    empty: list[Section] = [
        Sentence(""),
        Table([], [], ""),
        Table(["a", "b"], [[], ["x"]], "c"),
        LineChart([], "y"),
        LineChart([Series("lost", [], [])], "y"),
        IntervalChart([], "x"),
        IntervalChart([IntervalRow("lost", [])], "x"),
        Tune("silent", []),
        Heatmap([]),
        Heatmap([[]]),
        Heatmap([[1.0], [1.0, 2.0]]),
        HiddenLines([]),
        Definitions([]),
        ColouredText([], []),
        ColouredText(["lost"], []),
    ]
    text = page("", "", empty)
    assert not Reader(text).wrong
    for words in (
        "No rows.",
        "No lines to draw.",
        "No finite values to draw: lost.",
        "no finite value",
        "No notes to show.",
    ):
        assert words in text
    assert 'class="play"' not in page("", "", [Tune("silent", [])])
    assert not Reader(page("t", "l", [])).wrong


def test_gaps_bands_and_lone_points() -> None:
    gap = svg(
        LineChart(
            [Series("a", [0, 1, 2, 3, 4], [1, 2, math.nan, 2, 1], [0, 1, 2, 1, 0], [2, 3, 4, None, 2])], "y"
        )
    )
    line = re.search(r'class="u-line u-s0" d="([^"]*)"', gap)
    band = re.search(r'class="u-band u-s0" d="([^"]*)"', gap)
    assert line and line[1].count("M") == 2
    assert band and band[1].count("M") == 2 and band[1].count("Z") == 2
    assert "<circle" in svg(LineChart([Series("a", [1], [1])], "y"))


def test_arrays_draw_as_lists_do() -> None:
    xs, ys = np.arange(5), np.array([3, 2.5, 2, np.nan, 1], dtype=np.float32)
    for kind in (
        lambda x, y: LineChart([Series("a", {"s": x, "t": x}, y, y, y)], "y", y_range=(y[0], y[2])),
        lambda x, y: IntervalChart([IntervalRow("a", y, y[4], y[0])], "x", references=[("r", y[1])]),
        lambda x, y: Heatmap([y, y], low=y[4]),
        lambda x, y: HiddenLines([y, y], marked={0: "a"}),
        lambda x, y: Tune("t", [(s, 1, 60 + s) for s in x], bars=x),
    ):
        assert svg(kind(xs, ys)) == svg(kind(xs.tolist(), ys.tolist()))


def test_x_vectors_switch_and_differ() -> None:
    chart = LineChart([Series("a", {"steps": [1, 2, 3], "tokens": [1e6, 2e6, 9e6]}, [3, 2, 1])], "loss")
    assert "2M" in svg(chart, x="tokens") and "2M" not in svg(chart, x="steps")
    text = page("t", "l", [chart, chart])
    inputs = [attrs for tag, attrs in Reader(text).elements if tag == "input"]
    assert (
        len(inputs) == 4
        and sum("checked" in attrs for attrs in inputs) == 2
        and len({a["name"] for a in inputs}) == 2
    )
    with pytest.raises(UserError, match="steps, tokens"):
        svg(chart, x="second")


def test_the_first_tune_is_lifted_and_later_ones_stay() -> None:
    tune = Tune("one", [(0, 1, 60)])
    text = page("t", "l", [Sentence("before", "A"), tune, Tune("two", [(0, 1, 62)], title="B")])
    header, main = text.split("</header>")
    assert "one" in header and "before" in main and "two" in main and 'class="plain"' not in text


def test_the_roll_shows_every_note_once_and_its_systems_meet() -> None:
    notes = [(0.25 * i, 0.25, 60 + i * 7 % 24) for i in range(200)]
    for width in (360, 960):
        text = svg(Tune("t", notes, bars=[2.0 * i for i in range(26)]), width)
        assert sorted(int(i) for i in re.findall(r'data-i="(\d+)"', text)) == list(range(200))
        assert "visibility: hidden" in text and text.count('u-system"') > 1
    long = svg(Tune("t", [(0, 100, 60), (100, 1, 62)]))
    assert len(re.findall(r'data-i="0"', long)) >= 1 and "1:41" not in long
    written = page("t", "l", [Tune("t", [(1, 1, 62), (0, 1, 60), (0, 0, 5), (0, 1, 200)])])
    assert 'data-notes="0,1,60;1,1,62"' in written


def test_tables_align_and_round_down_a_column() -> None:
    text = page(
        "t",
        "l",
        [
            Table(
                ["m", "v", "n", "s"],
                [["a", 1.5, 1234567, "x"], ["b", 12.25, math.nan, "y"]],
                "c",
                highlight=1,
            )
        ],
    )
    assert "<bdi>1.50</bdi>" in text and "<bdi>12.25</bdi>" in text and "1\u202f234\u202f567" in text
    assert text.count('class="right"') == 6 and text.count('class="best"') == 1 and ">best<" in text


def test_numbers_and_ticks_are_round() -> None:
    assert [number(v) for v in (1.5, 0.00123, 12345.0, math.nan, -2.0)] == [
        "1.500",
        "0.001230",
        "12\u202f345",
        "–",
        "−2",
    ]
    assert [compact(v) for v in (0.25, 40, 10_000, 1.5e6, -3)] == ["0.25", "40", "10k", "1.5M", "−3"]
    assert labels([1.5, 2.0, 2.5]) == ["1.5", "2.0", "2.5"] and labels([1, 10, 0.1]) == ["1", "10", "0.1"]
    assert linear_ticks(0, 120, 6) == [0, 20, 40, 60, 80, 100, 120]
    assert log_ticks(1, 1e4) == [1, 10, 100, 1000, 10000]
    assert len(log_ticks(2, 3)) >= 2
    scale = Scale.around([1, 100], 0, 10, log=True)
    assert scale(10) == pytest.approx(5) and not scale.holds(0) and not scale.holds(None)
    assert Scale.around([7, 7], 0, 10).ticks() and Scale.around([], 0, 1).ticks()


def test_end_labels_never_overlap_where_there_is_room() -> None:
    places = spread([50, 50, 51, 90, 0], 0, 200, 15)
    assert all(b - a >= 14.999 for a, b in pairwise(sorted(places)))
    assert min(places) >= 0 and max(places) <= 200
    assert max(spread([5.0] * 40, 0, 100, 15)) <= 100.001


def test_thinning_keeps_spikes_and_ends() -> None:
    ys: list[float | None] = [math.sin(i / 50) for i in range(10_000)]
    ys[4321] = 99.0
    kept = thin(ys, 200)
    assert len(kept) <= 203 and {0, 4321, 9999} <= set(kept)
    assert len(svg(LineChart([Series("a", list(range(10_000)), ys)], "y"))) < 20_000


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast of two #rrggbb or #rgb colours."""

    def light(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_every_text_and_line_stands_out_light_and_dark() -> None:
    light, dark = asset("chart.css").split("@media screen")
    for sheet, paper, system in ((light, "#fcfbf8", "#f3f0e8"), (dark, "#14161b", "#1b1e25")):
        for rule, colour in re.findall(r"([^{}]*text[^{}]*|[^{}]*u-tick[^{}]*)\{[^}]*?fill: (#\w+)", sheet):
            assert contrast(colour, paper) >= 4.5, (rule, colour)
        for colour in re.findall(r"\.u-n\d \{ fill: (#\w+)", sheet):
            assert contrast(colour, system) >= 3, colour
    light, dark = asset("page.css").split("@media screen")[:2]
    for sheet in (light, dark):
        colour = dict(re.findall(r"--([\w-]+): (#\w+)", sheet))
        for ink in ("ink", "soft", "accent"):
            assert contrast(colour[ink], colour["paper"]) >= 4.5
            assert contrast(colour[ink], colour["raised"]) >= 4.5
        assert contrast(colour["on-accent"], colour["accent"]) >= 4.5
        assert contrast(colour["ink"], colour["best"]) >= 4.5


def test_lines_differ_without_colour() -> None:
    dashes = re.findall(r"\.u-line\.u-s(\d) \{ stroke-dasharray: ([\d ]+)", asset("chart.css"))
    assert len({dash for _, dash in dashes}) == 7 and {index for index, _ in dashes} == set("1234567")


def test_heat_colours_rise_in_lightness_and_the_png_is_one() -> None:
    colours = palette(False)
    greys = [0.3 * colours[i] + 0.59 * colours[i + 1] + 0.11 * colours[i + 2] for i in range(0, 255 * 3, 3)]
    assert all(b >= a - 1 for a, b in pairwise(greys)) and greys[-1] > greys[0] + 150
    data = png([b"\x00\x01", b"\x02\xff"], colours)
    assert (
        data[:8] == b"\x89PNG\r\n\x1a\n"
        and data[16:24] == b"\0\0\0\2\0\0\0\2"
        and data.endswith(b"IEND\xaeB`\x82")
    )


@pytest.mark.parametrize("name", ["hover.js", "synth.js", "player.js"])
def test_scripts_are_sound(name: str) -> None:
    code = asset(name)
    bare = re.sub(r'//.*|"(?:[^"\\]|\\.)*"|/\(.*?\)/g|/-\?.*?/g', "", code)
    for one, other in ("()", "[]", "{}"):
        assert bare.count(one) == bare.count(other)
    assert "</" not in code and "<!--" not in code
    node = shutil.which("node")
    if node:
        done = subprocess.run([node, "--check", "-"], input=code, text=True, capture_output=True, timeout=20)
        assert done.returncode == 0, done.stderr


def test_sound_begins_on_a_click_only() -> None:
    made = "".join(asset(name) for name in ("hover.js", "player.js", "synth.js"))
    assert made.count("new AudioContext") == 1 and made.count("makeFlute()") == 1
    assert "autoplay" not in example() and asset("player.js").index("const start =") < asset(
        "player.js"
    ).index("makeFlute()")


def test_write_is_whole_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "new" / "report.html"
    assert write(place, "one\n🎻") == place and place.read_bytes() == "one\n🎻".encode()
    assert place.stat().st_mode & 0o777 == 0o644

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFailed, match="No space left on device.*Free some space"):
        write(place, "two")
    assert place.read_text(encoding="utf-8") == "one\n🎻" and [p.name for p in place.parent.iterdir()] == [
        "report.html"
    ]


def test_write_names_a_place_it_cannot_use(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFailed, match="report.html.*out="):
        write(tmp_path / "file" / "report.html", "text")
