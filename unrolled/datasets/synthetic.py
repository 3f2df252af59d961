"""Sequences that are generated, each a pure function of (seed, index), so that nothing has to be downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.readers import Record
from unrolled.errors import UserError

DIRECTIONS = {
    "E": (0, 1), "NE": (-1, 1), "N": (-1, 0), "NW": (-1, -1),
    "W": (0, -1), "SW": (1, -1), "S": (1, 0), "SE": (1, 1),
}  # fmt: skip
"""Direction -> (rows, columns) that the ball moves in a frame; row 0 is at the top."""
RADIUS = 1.0  # of the ball, in pixels
SLOWEST = 1.5  # pixels a frame: below, neighbouring places are hard to tell apart
NOISE = 8.0  # deviation of the grey values, of 255


def ball(count: int, seed: int = 0, size: int = 16, frames: int = 16) -> Iterator[Record]:
    """Videos of a ball that crosses the field in one of eight directions, again and again, each time in another lane,
    until it has been at every place once: `frames` (frames, size, size) uint8, `label` E, NE, N, ...

    The places, a square grid with a random corner and spacing, and the noise at each are drawn before the direction
    is looked at. So the frames of a clip, as a set, say nothing about it: only their order does. Labels are balanced
    in each eight. Raises UserError for frames that aren't a square number of at least 9, or don't fit into `size`.
    """
    side = isqrt(max(frames, 0))
    if side * side != frames or side < 3:
        raise UserError(f"frames = {frames}: the places form a square. Expected 9, 16, 25, ...")
    if size < (least := int(np.ceil((side - 1) * SLOWEST + 2 * RADIUS + 1))):
        raise UserError(f"size = {size}: too small for {frames} places. Expected at least {least} pixels.")
    for index in range(count):
        order = np.random.default_rng([seed, index // 8]).permutation(8)
        label = list(DIRECTIONS)[order[index % 8]]
        yield {"frames": ball_clip(label, seed, index, size, side), "label": label, "origin": f"ball:{index}"}


def ball_clip(label: str, seed: int, index: int, size: int = 16, side: int = 4) -> NDArray[np.uint8]:
    """(side * side, size, size): the clip that (seed, index) has where its direction is `label`."""
    draw = np.random.default_rng([seed, index, side])
    spacing = draw.uniform(SLOWEST, (size - 1 - 2 * RADIUS) / (side - 1))
    corner = draw.uniform(RADIUS, size - 1 - RADIUS - spacing * (side - 1), 2)
    rows, columns = np.divmod(np.arange(side * side), side)
    y, x = corner[0] + rows * spacing, corner[1] + columns * spacing
    pixels = np.arange(size)
    distance = np.hypot(pixels[:, None] - y[:, None, None], pixels - x[:, None, None])
    pictures = 200 * np.clip(RADIUS + 0.5 - distance, 0, 1) + draw.normal(28, NOISE, distance.shape)
    lanes = draw.permutation(4 * side)  # ranks, so that every direction draws its lanes from the same numbers
    clip: NDArray[np.uint8] = np.clip(pictures, 0, 255).astype(np.uint8)[_visits(label, rows, columns, lanes)]
    return clip


def _visits(
    label: str, rows: NDArray[np.int64], columns: NDArray[np.int64], lanes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The places in the order of a ball that goes in this direction, lane after lane."""
    down, right = DIRECTIONS[label]
    along = rows * down + columns * right
    lane = rows * right - columns * down  # what stays the same on the way
    return np.lexsort((along, lanes[lane - lane.min()]))
