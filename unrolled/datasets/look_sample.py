"""Rows that stand for all of a large table while it is looked at: spread over it, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from zlib import crc32

import numpy as np

from unrolled.datasets.asked import Asked
from unrolled.datasets.long import named
from unrolled.datasets.readers import Record

ROWS = 131_072  # held to be looked at
ROOM = 64 << 20  # bytes, by and large, that they may take
GOLDEN = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: multiples of it, modulo 2^64, lie spread and in no period
CELL = 90  # bytes of a cell beside its text


def sampled(
    rows: Iterable[Record], most: int = ROWS, room: int = ROOM, asked: Asked | None = None
) -> tuple[list[Record], int, list[str]]:
    """Rows spread over all of them, at most so many and so large, how many there are, and what readers said. The rows of
    one sequence stay together, which `asked` may name the columns of.

    Which ones is told by a hash of their numbers: every n-th row would be of one class where classes take turns.
    """
    held: list[tuple[int, Record]] = []
    notes: list[str] = []
    limit, total, size = 1 << 64, 0, 0
    id: str | None = None
    for row in rows:
        notes += row.pop("notes", [])
        if not total:
            id = _id(row, asked or Asked())
        number = (
            total if id is None else crc32(str(row.get(id)).encode("utf-8", "surrogatepass"))
        )  # the rows of one sequence stay together
        mark = number * GOLDEN % (1 << 64)
        total += 1
        if mark >= limit:
            continue
        held.append((mark, row))
        size += _size(row)
        while (len(held) > most or size > room) and len(held) > 1:
            limit //= 2
            held = [(mark, row) for mark, row in held if mark < limit]
            size = sum(_size(row) for _, row in held)
    return [row for _, row in held], total, notes


def _id(row: Record, asked: Asked) -> str | None:
    """The column whose values name sequences. Raises UserError for one that was asked for and isn't there."""
    if asked.id is None:
        return None
    id, time = named(list(row), None if asked.id == "auto" else asked.id, asked.time)
    return id if time or asked.id != "auto" else None


def _size(row: Record) -> int:
    return sum(map(_bytes, row.values()))


def _bytes(value: Any) -> int:
    if isinstance(value, str):
        return CELL + len(value)
    if isinstance(value, list):
        return CELL * (1 + len(value))
    return CELL + (value.nbytes if isinstance(value, np.ndarray) else 0)
