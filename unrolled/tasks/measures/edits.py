"""How far two sequences are from each other, in the fewest edits, and what they have in common in order. Bit-parallel:
a column of the table of dynamic programming is one whole number.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def edits(said: Sequence[Hashable], truth: Sequence[Hashable]) -> int:
    """Insertions, deletions and substitutions that turn one into the other, at least (Levenshtein 1966). By Myers 1999
    (doi:10.1145/316542.316550), in the form of Hyyrö 2003, fig. 3.
    """
    if not said or not truth:
        return len(said) + len(truth)
    at = _places(truth)
    whole, last = (1 << len(truth)) - 1, 1 << (len(truth) - 1)
    up, down, distance = whole, 0, len(truth)
    for item in said:
        equal = at.get(item, 0)
        diagonal = (((equal & up) + up) ^ up) | equal | down
        right, left = down | (whole & ~(diagonal | up)), up & diagonal
        distance += bool(right & last) - bool(left & last)
        right = (right << 1 | 1) & whole
        up, down = (left << 1 & whole) | (whole & ~(diagonal | right)), right & diagonal
    return distance


def common(said: Sequence[Hashable], truth: Sequence[Hashable]) -> int:
    """The length of the longest sequence that both contain in order, with gaps (Hyyrö 2004, "Bit-parallel LCS-length
    computation revisited").
    """
    at = _places(truth)
    whole = (1 << len(truth)) - 1
    row = whole
    for item in said:
        taken = row & at.get(item, 0)
        row = ((row + taken) | (row - taken)) & whole
    return len(truth) - row.bit_count()


def _places(items: Sequence[Hashable]) -> dict[Hashable, int]:
    """Each item -> a bit for every place at which it stands."""
    found: dict[Hashable, int] = {}
    for place, item in enumerate(items):
        found[item] = found.get(item, 0) | 1 << place
    return found
