"""`unrolled data list | look | get`: what there is by name, what a model would see of any data, and fetching a set."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field, fields, make_dataclass
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from unrolled.errors import UserError

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments
    from unrolled.datasets.fetch import Got
    from unrolled.datasets.inventory import Listed
    from unrolled.datasets.look import Look
    from unrolled.datasets.look_rows import RowsLook

EXAMPLES = (
    "unrolled data list",
    "unrolled data look irish",
    "unrolled data look my_texts/*.txt",
    "unrolled data look my_table.csv target=price input=age,rooms",
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
    """The keys of `unrolled data` beside those that say how data are read."""

    action: Literal["list", "look", "get"] = field(
        default="list", metadata={"help": "list what has a name, look at data, or get a public set"}
    )
    data: str = field(default="irish", metadata={"help": "a name from the list, a file, a folder or a glob"})


@dataclass(frozen=True)
class Listing:
    """Every set that has a name."""

    sets: list[Listed]


def keys() -> type[Any]:
    """The verb's keys: its own, and those of `train` that say how data are read, which are for `look`."""
    from unrolled.datasets.asked import KEYS
    from unrolled.training.recipe import Recipe

    hints = get_type_hints(Recipe)
    own = {entry.name: entry for entry in fields(Recipe)}
    read = [
        (name, hints[name], field(default=own[name].default, metadata=own[name].metadata)) for name in KEYS
    ]
    return make_dataclass("DataKeys", read, bases=(Keys,), frozen=True)


def run(arguments: Arguments) -> Any:
    """Lists the sets, looks at one or at the user's own data, or gets one."""
    resolved = arguments.resolve(keys(), WORDS)
    chosen, said = resolved.value, resolved.changed()
    if strange := [key for key in said if key not in WORDS and chosen.action != "look"]:
        raise UserError(f"{strange[0]}= is for unrolled data look, not for {chosen.action}.")
    if chosen.action == "list":
        from unrolled.datasets.inventory import inventory

        return Listing(inventory())
    if chosen.action == "get":
        return _get(chosen.data, arguments)
    return _look(chosen)


def _look(chosen: Any) -> Look | RowsLook:
    from unrolled.datasets.asked import KEYS
    from unrolled.datasets.look import look
    from unrolled.datasets.look_rows import look_rows
    from unrolled.datasets.rows import continues
    from unrolled.datasets.samples import resolve
    from unrolled.training.recipe import Recipe

    asked = Recipe(data=chosen.data, **{key: getattr(chosen, key) for key in KEYS}).asked()
    path = resolve(chosen.data)
    return look(chosen.data, asked) if continues(path) else look_rows(chosen.data, path, asked)


def _get(name: str, arguments: Arguments) -> Got:
    from unrolled.datasets import samples, sets
    from unrolled.datasets.fetch import get

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
