"""Every set that can be named: shipped, generated and public, with its licence and whether it is on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unrolled.datasets import samples, sets
from unrolled.datasets.holdings import here

Group = Literal["shipped", "generated", "public"]


@dataclass(frozen=True)
class Listed:
    """One set. `here`: UNROLLED_DATA, cache or the package that has it; "shipped" or "made here"; empty: not yet."""

    group: Group
    name: str
    what: str
    licence: str
    here: str
    bytes: int  # to be fetched where it isn't here


def inventory() -> list[Listed]:
    """All sets, group by group. Whether a public one is here is told by its files' names: nothing is read."""
    found = [
        Listed("shipped", name, what, licence, "shipped", 0) for name, what, licence in samples.listing()
    ]
    known = {one.name for one in found}
    others = [sets.named(name) for name in sets.names() if name not in known]
    found += [
        Listed("generated", one.name, one.what, one.licence, "made here", 0)
        for one in others
        if one.generated
    ]
    return found + [
        Listed("public", one.name, one.what, one.licence, here(one), one.bytes)
        for one in others
        if not one.generated
    ]
