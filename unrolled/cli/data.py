"""`unrolled data list | look | get`: what there is by name, what a model would see of any data, and fetching a set."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments
    from unrolled.datasets.fetch import Got
    from unrolled.datasets.inventory import Listed

EXAMPLES = (
    "unrolled data list",
    "unrolled data look irish",
    "unrolled data look my_texts/*.txt",
    "unrolled data get fsdd",
)
WORDS = ("action", "data")
SWITCHES = ("dry-run",)
WHAT, LICENCE = 60, 22  # columns of the list
HEADS = {
    "shipped": "shipped",
    "generated": "generated, or made from what ships",
    "public": "public: unrolled data get NAME fetches one (nothing else does)",
}


@dataclass(frozen=True)
class Keys:
    """The keys of `unrolled data`."""

    action: Literal["list", "look", "get"] = field(
        default="list", metadata={"help": "list what has a name, look at data, or get a public set"}
    )
    data: str = field(default="irish", metadata={"help": "a name from the list, a file, a folder or a glob"})


@dataclass(frozen=True)
class Listing:
    """Every set that has a name."""

    sets: list[Listed]


def keys() -> type | None:
    """The verb's keys."""
    return Keys


def run(arguments: Arguments) -> Any:
    """Lists the sets, looks at one or at the user's own data, or gets one."""
    chosen = arguments.resolve(Keys, WORDS).value
    if chosen.action == "list":
        from unrolled.datasets.inventory import inventory

        return Listing(inventory())
    if chosen.action == "get":
        return _get(chosen.data, arguments)
    from unrolled.datasets.look import look
    from unrolled.datasets.look_rows import look_rows
    from unrolled.datasets.rows import continues
    from unrolled.datasets.samples import resolve

    path = resolve(chosen.data)
    return look(chosen.data) if continues(path) else look_rows(chosen.data, path)


def _get(name: str, arguments: Arguments) -> Got:
    from unrolled.datasets import samples, sets
    from unrolled.datasets.fetch import get
    from unrolled.errors import UserError

    if name in samples.names():
        public = ", ".join(one for one in sets.names() if not sets.named(one).generated)
        raise UserError(f"{name} ships with the package: there is nothing to get. Public sets: {public}.")
    return get(sets.named(name), arguments.say, dry="dry-run" in arguments.switches)


def show(result: Any) -> str:
    """The table of sets, what was fetched, or the look."""
    if hasattr(result, "fetched"):
        return f"{result.folder}\nunrolled train data={result.name}" if result.here else ""
    if not isinstance(result, Listing):
        return str(result)
    name = max(len(one.name) for one in result.sets)
    lines: list[str] = []
    for group, head in HEADS.items():
        lines += ["", head] if lines else [head]
        lines += [_line(one, name) for one in result.sets if one.group == group]
    return "\n".join(lines)


def _line(one: Listed, width: int) -> str:
    """Name, what it is, licence, and of a public set where it is."""
    place = one.here or f"not yet, {one.bytes / 1e6:.1f} MB"
    what = textwrap.shorten(one.what, WHAT, placeholder="…")
    terms = textwrap.shorten(one.licence, LICENCE, placeholder="…")
    where = place if one.group == "public" else ""
    return f"  {one.name:<{width}}  {what:<{WHAT}}  {terms:<{LICENCE}}  {where}".rstrip()


def brief(result: Any) -> str:
    """The names, or the folder."""
    if hasattr(result, "fetched"):
        return str(result.folder)
    return "\n".join(one.name for one in result.sets) if isinstance(result, Listing) else str(result)
