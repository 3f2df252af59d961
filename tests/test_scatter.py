"""Scatter plots: names that never lie on one another, and whatever has no room told on hover."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.report import Dot, Scatter, page, svg
from unrolled.report.scatter import Box, placed, styles

FRAME = Box(50, 30, 900, 500)
NAMES = st.text("abcdefghijklmnop漢", min_size=1, max_size=12)
POINTS = st.lists(st.tuples(NAMES, st.floats(50, 900), st.floats(30, 500)), max_size=60)


@settings(deadline=None, max_examples=60)
@given(POINTS)
def test_no_name_lies_on_another_nor_on_a_dot_nor_outside(points: list[tuple[str, float, float]]) -> None:
    at = [(x, y) for _, x, y in points]
    labels = placed([name for name, _, _ in points], at, FRAME, 3.0)
    boxes = [label.box for label in labels if label]
    assert not any(a.meets(b) for a, b in combinations(boxes, 2))
    for (x, _), label in zip(at, labels, strict=True):
        if label is None:
            continue
        box = label.box
        assert FRAME.left <= box.left and box.right <= FRAME.right
        assert FRAME.top <= box.top and box.bottom <= FRAME.bottom
        others = [(u, v) for (u, v), other in zip(at, labels, strict=True) if other is not label]
        assert not any(box.left < u < box.right and box.top < v < box.bottom for u, v in others)
        assert max(abs((box.left + box.right) / 2 - x) - (box.right - box.left) / 2, 0) <= 8


def test_the_first_points_are_named_first_and_the_rest_on_hover() -> None:
    crowd = [Dot(f"name{i}", i * 1e-3, 0.0) for i in range(80)] + [Dot("far", 1.0, 1.0)]
    texts = re.findall(r"<text[^>]*>(name\d+|far)<", svg(Scatter(crowd, "x", "y")))
    assert "name0" in texts and "far" in texts and len(texts) < 60
    assert svg(Scatter(crowd, "x", "y")).count("<title>name79</title>") == 1


def test_groups_have_a_colour_each_and_a_key() -> None:
    points = [Dot("a", 0, 0, "ships"), Dot("b", 1, 1, "seas"), Dot("c", 2, 0)]
    assert styles(points) == {"": "u-dot u-s6", "ships": "u-dot u-s0", "seas": "u-dot u-s1"}
    many = list(styles([Dot("a", 0, 0, str(i)) for i in range(14)]).values())
    assert len(set(many)) == 15 and sum("u-ring" in style for style in many) == 7
    text = svg(Scatter(points, "one", "two", title="Map"))
    root = ElementTree.fromstring(text)
    assert (
        root.attrib["aria-label"] == "Map: 3 points, two by one. ships: 1 about (0, 0); seas: 1 about (1, 1)."
    )
    for word in ("ships", "seas", "one", "two"):
        assert f">{word}<" in text


def test_points_can_be_written_and_what_is_no_place_is_left_out() -> None:
    points = [Dot("7", 0, 0, "seven"), Dot("1", float("nan"), 0), Dot("2", 1e300, 0)]
    text = svg(Scatter(points, "x", "y", written=True))
    assert ">7<" in text and "<circle" not in text, "written points need no key"
    assert "Scatter plot: 1 points" in text and "No points to draw" in svg(Scatter([], "x", "y"))
    assert svg(Scatter(points, "x", "y"), width=300) and "scatter" in page(
        "t", "l", [Scatter(points, "x", "y")]
    )


@pytest.mark.parametrize("width", [360, 960])
def test_every_mark_stands_within_the_picture(width: int) -> None:
    draw = np.random.default_rng(0)
    points = [Dot(f"word{i}", *draw.normal(size=2), f"g{i % 11}") for i in range(200)]
    root = ElementTree.fromstring(svg(Scatter(points, "x", "y"), width=width))
    high = float(root.attrib["height"])
    for element in root.iter():
        if element.tag.endswith("circle"):
            assert 0 <= float(element.attrib["cx"]) <= width and 0 <= float(element.attrib["cy"]) <= high
        if element.tag.endswith("text"):
            assert 0 <= float(element.attrib["y"]) <= high
