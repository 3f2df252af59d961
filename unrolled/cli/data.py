"""`unrolled data list | look`: what ships, and what a model would see of any data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments

EXAMPLES = ("unrolled data list", "unrolled data look irish", "unrolled data look my_texts/*.txt")
WORDS = ("action", "data")
SWITCHES = ()


@dataclass(frozen=True)
class Keys:
    """The keys of `unrolled data`."""

    action: Literal["list", "look"] = field(
        default="list", metadata={"help": "list what ships, or look at data"}
    )
    data: str = field(default="irish", metadata={"help": "a shipped set (irish), a file, a folder or a glob"})


@dataclass(frozen=True)
class Listing:
    """The shipped sets by name."""

    sets: dict[str, str]


def keys() -> type | None:
    """The verb's keys."""
    return Keys


def run(arguments: Arguments) -> Any:
    """Lists the shipped sets, or looks at one, or at the user's own data."""
    chosen = arguments.resolve(Keys, WORDS).value
    if chosen.action == "list":
        from unrolled.datasets.samples import listing

        return Listing(dict(listing()))
    from unrolled.datasets.look import look
    from unrolled.datasets.look_rows import look_rows
    from unrolled.datasets.rows import continues
    from unrolled.datasets.samples import resolve

    path = resolve(chosen.data)
    return look(chosen.data) if continues(path) else look_rows(chosen.data, path)


def show(result: Any) -> str:
    """The table of shipped sets, or the look."""
    if not isinstance(result, Listing):
        return str(result)
    width = max(len(name) for name in result.sets)
    return "\n".join(f"{name:<{width}}  {what}" for name, what in result.sets.items())


def brief(result: Any) -> str:
    """The names."""
    return "\n".join(result.sets) if isinstance(result, Listing) else str(result)
