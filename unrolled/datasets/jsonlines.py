"""JSON lines to records: one object a line; texts, numbers, booleans and null as they are, lists as series."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unrolled.datasets.decoding import EmptyFile, lines
from unrolled.datasets.problems import Problems
from unrolled.datasets.values import RESERVED, Record, renamed, renaming, sequence, shown


def read_jsonlines(path: Path) -> Iterator[Record]:
    """`{"origin": "file:line", column: str, float, int, bool, None, float32 (T,) or (T, C), list of str}`.

    A column that an earlier line had and this one lacks is None; columns may also come up later. Raises UserError
    with all problems together: what is no JSON object, a key twice, objects and mixed or ragged lists as values.
    """
    notes: list[str] = []
    problems = Problems()
    columns: dict[str, None] = {}
    blanks = 0
    held: Record | None = None  # one behind, so that the last can tell how many blank lines were left out
    for number, line in enumerate(lines(path, notes), 1):
        if problems.enough():
            break
        if not line.strip():
            blanks += 1
            continue
        try:
            row = _row(line)
        except ValueError as error:
            problems.add(f"{path}:{number}: {error}")
            continue
        if problems:
            continue
        if not RESERVED.isdisjoint(row):
            given = renamed(row)
            notes += [note for note in renaming(path.name, given) if held is None]
            row = {given[name]: value for name, value in row.items()}
        columns |= dict.fromkeys(row)
        record: Record = {"origin": f"{path.name}:{number}", **dict.fromkeys(columns), **row}
        if held is not None:
            yield held
        elif notes:
            record["notes"] = notes
        held = record
    problems.settle()
    if held is None:
        raise EmptyFile(f"{path}: the file holds nothing but blank lines. Expected one JSON object a line.")
    if blanks:
        held["notes"] = [*held.get("notes", []), f"{path.name}: left out {blanks} blank lines"]
    yield held


def _row(line: str) -> dict[str, Any]:
    """One line's object, its lists read as series. Raises ValueError in words."""
    try:
        row = json.loads(line, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"no whole JSON object ({error.msg} at character {error.colno}): {shown(line.strip())}. Expected one "
            "object a line."
        ) from None
    except RecursionError:
        raise ValueError("lists or objects nested too deeply. Expected one flat object a line.") from None
    if not isinstance(row, dict):
        hint = " A JSON file? Write one object a line: jq -c '.[]'" if isinstance(row, list) else ""
        raise ValueError(f"got {shown(row)}, expected one JSON object a line.{hint}")
    if not row:
        raise ValueError("an empty object. Expected columns.")
    if "\\u" in line:
        _whole_characters(line, row)
    for name, value in row.items():
        if not name.strip():
            raise ValueError("a key without a name. Give it one.")
        if isinstance(value, dict):
            raise ValueError(f"column {name!r} holds an object ({shown(value)}). Expected flat columns.")
        if isinstance(value, list):
            try:
                row[name] = sequence(value)
            except ValueError as error:
                raise ValueError(f"column {name!r}: {error}") from None
    return row


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(
            f"the key {', '.join(map(repr, twice))} stands there twice. Expected different keys."
        )
    return row


def _whole_characters(line: str, row: dict[str, Any]) -> None:
    """Refuses half a surrogate pair, which no encoding could write again."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"half a surrogate pair in {shown(line.strip())}. Expected whole characters."
        ) from None
