"""The `.ts` files of the UCR and UEA archives (sktime's format): labelled series, also of unequal lengths.

A header of `@key value` lines, then after `@data` one series a line: dimensions apart by `:`, values by `,`, the
class label or the target last. Reference: the UEA archive's own description, arXiv:1811.00075, section 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unrolled.datasets.decoding import EmptyFile, lines
from unrolled.datasets.problems import Problems
from unrolled.datasets.values import Record, Series, number, series, shown
from unrolled.errors import UserError

SPLIT = re.compile(r"[._-](train|test)\.ts(?:\.gz)?\Z", re.IGNORECASE)
KNOWN = ["problemname", "timestamps", "missing", "univariate", "dimensions", "dimension"]
KNOWN += ["equallength", "serieslength", "classlabel", "targetlabel"]


@dataclass
class Header:
    """What the lines before `@data` say. `labels` is None where there are none, `target` for real labels."""

    labels: frozenset[str] | None = None
    target: bool = False
    dimensions: int | None = None
    equal: bool = False
    length: int | None = None
    said: dict[str, int] = field(default_factory=dict)  # key -> line


def read_ts(path: Path) -> Iterator[Record]:
    """`{"series": float32 (T, C), "label": str or "target": float or None, "origin"}`, and `"split"` where the
    file is called X_TRAIN.ts, x.test.ts or so. `?` is NaN.

    Raises UserError with all problems together: an incomplete header, what is no number, dimensions of unequal
    length or number, a label that the header doesn't name, time stamps.
    """
    notes: list[str] = []
    source = enumerate(lines(path, notes), 1)
    header = _header(path, source)
    given = SPLIT.search(path.name)
    problems = Problems()
    any_row = False
    for line, text in source:
        if problems.enough():
            break
        text = text.strip()
        if not text or text.startswith(("#", "%")):
            continue
        any_row = True
        try:
            record = _case(text, header)
        except ValueError as error:
            problems.add(f"{path}:{line}: {error}")
            continue
        if problems:
            continue
        record["origin"] = f"{path.name}:{line}"
        if given:
            record["split"] = given[1].lower()
        if notes:
            record["notes"], notes = notes, []
        yield record
    problems.settle()
    if not any_row:
        raise UserError(
            f"{path}:{header.said['data']}: no series behind @data. Check that the file was written completely."
        )


def _header(path: Path, source: Iterator[tuple[int, str]]) -> Header:
    """The header, up to `@data`. Raises UserError with all that is wrong with it."""
    header, problems, anything = Header(), Problems(), False
    for line, raw in source:
        text = raw.strip()
        if not text or text.startswith(("#", "%")):
            continue
        anything = True
        if not text.startswith("@"):
            problems.add(
                f"{path}:{line}: {shown(text)} before any @data. Expected header lines such as '@classLabel true a b' "
                "first: is this a .ts file of the UCR or UEA archive?"
            )
            break
        key, *values = text[1:].split() or [""]
        try:
            _say(header, key.lower(), values, line)
        except ValueError as error:
            problems.add(f"{path}:{line}: {error}")
        if "data" in header.said or problems.full:
            break
    problems.settle()
    if not anything:
        raise EmptyFile(f"{path}: the file is empty but for white space and comments. Expected series.")
    if "data" not in header.said:
        raise UserError(f"{path}: no line @data. Expected series behind it: the file may be cut short.")
    return header


def _say(header: Header, key: str, values: list[str], line: int) -> None:
    """Enters one header line. Raises ValueError in words."""
    if key != "data" and key not in KNOWN:
        raise ValueError(f"unknown header line '@{key}'. Known: @{', @'.join(KNOWN)}, @data.")
    if key in header.said:
        raise ValueError(f"@{key} stands there twice (first on line {header.said[key]}).")
    header.said[key] = line
    if key in ("data", "problemname"):
        return
    if not values:
        raise ValueError(f"@{key} without a value.")
    if key in ("dimensions", "dimension", "serieslength"):
        if not values[0].isdecimal() or int(values[0]) < 1:
            raise ValueError(f"@{key} {values[0]}: expected a whole number, at least 1.")
        name = "length" if key == "serieslength" else "dimensions"
        setattr(header, name, int(values[0]))
        return
    if values[0].lower() not in ("true", "false"):
        raise ValueError(f"@{key} {values[0]}: expected true or false.")
    yes = values[0].lower() == "true"
    if key == "timestamps" and yes:
        raise ValueError(
            "@timeStamps true: series with time stamps are not read. Write values at equal steps."
        )
    if key == "univariate" and yes:
        header.dimensions = 1
    if key == "equallength":
        header.equal = yes
    if key == "targetlabel":
        header.target = yes
    if key == "classlabel" and yes:
        if len(values) == 1:
            raise ValueError("@classLabel true without classes. Expected their names behind it.")
        header.labels = frozenset(values[1:])


def _case(text: str, header: Header) -> Record:
    """One line behind `@data`. Raises ValueError in words."""
    dimensions = text.split(":")
    record: Record = {}
    if header.labels is not None or header.target:
        if len(dimensions) < 2:
            raise ValueError("no ':' before a label. Expected values, then ':' and the label.")
        last = dimensions.pop().strip()
        if header.target:
            target = number(last)
            record["target"] = None if np.isnan(target) else target
        else:
            assert header.labels is not None
            if last not in header.labels:
                raise ValueError(
                    f"the label {shown(last)} is not among the header's classes. A line cut short?"
                )
            record["label"] = last
    record["series"] = _values(dimensions, header)
    return record


def _values(dimensions: list[str], header: Header) -> Series:
    """(T, C) float32."""
    if header.dimensions is None:
        header.dimensions = len(dimensions)
    if len(dimensions) != header.dimensions:
        raise ValueError(f"{len(dimensions)} dimensions where {header.dimensions} were expected.")
    columns = [_dimension(text, place) for place, text in enumerate(dimensions, 1)]
    lengths = sorted({len(column) for column in columns})
    if len(lengths) > 1:
        raise ValueError(f"its dimensions have unequal lengths ({lengths[0]} to {lengths[-1]} values).")
    if header.equal and header.length is None:
        header.length = lengths[0]
    if header.equal and lengths[0] != header.length:
        raise ValueError(
            f"{lengths[0]} values where {header.length} were expected: the header says equal lengths."
        )
    return np.stack(columns, axis=1)


def _dimension(text: str, place: int) -> Series:
    if not text.strip():
        return series([])
    if "(" in text:
        raise ValueError(f"dimension {place} holds time stamps, {shown(text[:30])}. Expected values only.")
    cells = text.split(",")
    try:
        if not all(map(str.strip, cells)):
            raise ValueError("an empty value between commas. Write ? where one is missing.")
        return series(cells)
    except ValueError as error:
        raise ValueError(f"dimension {place}: {error}") from None
