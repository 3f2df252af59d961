"""What a table is: which column answers, which are read, which group or split it, and why. Nothing is guessed silently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from unrolled.datasets.answers import MANY, SEQUENCES, answers_many, parted, stepwise, task_of, two_texts
from unrolled.datasets.asked import Asked as Asked
from unrolled.datasets.asked import Open
from unrolled.datasets.asked import listed as listed
from unrolled.datasets.columns import BESIDE as BESIDE
from unrolled.datasets.columns import SEPARATOR as SEPARATOR
from unrolled.datasets.columns import Column as Column
from unrolled.datasets.columns import Kind
from unrolled.datasets.columns import columns as columns
from unrolled.errors import UserError, unknown

ANSWERS = ("label", "class", "target", "y", "sentiment", "category")
GROUPS = ("speaker", "user", "patient", "subject", "group")
SPLIT = "split"
TRIED = 8  # columns that are tried where one is to be named
TOGETHER = 12  # columns that are offered to be read together


@dataclass(frozen=True)
class Reading:
    """How a table is read. `why`: (key, value, reason) of each decision that nobody asked for."""

    task: Literal["classify", "regress", "tag", "translate"]
    inputs: tuple[str, ...]
    kinds: tuple[Kind, ...]  # of the inputs
    targets: tuple[str, ...]  # one, or the numbers of a regression
    several: bool = False  # a row may have several labels
    group: str | None = None
    split: str | None = None
    why: tuple[tuple[str, str, str], ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The columns that answer, for people."""
        return ", ".join(self.targets)

    @property
    def reads(self) -> str:
        """The columns that are read, for people."""
        return ", ".join(self.inputs)


LACKS = "Expected a column that is read and one that answers (of sounds or pictures: a folder with one sub-folder a class)."


class _Choice(Exception):
    """`key` is open: `says` so in words, and these values of it are likely."""

    def __init__(self, key: Literal["target", "input"], says: str, likely: Sequence[str]) -> None:
        self.key, self.says, self.likely = key, says, tuple(likely)


def understand(found: dict[str, Column], asked: Asked, data: str, steps: tuple[str, ...] = ()) -> Reading:
    """The reading of these columns. `steps`: those that say something of every step of a sequence, where rows have been
    gathered to sequences; they are read together.

    Raises UserError for a column that isn't there, and Open, with whole readings to choose from, where there is no one.
    """
    try:
        return _understood(found, asked, data, steps)
    except _Choice as choice:
        readings = _settled(choice, found, asked, data, steps)
        raise Open(choice.says if readings else f"{choice.says} {LACKS}", data, readings) from None


def _settled(
    choice: _Choice, found: dict[str, Column], asked: Asked, data: str, steps: tuple[str, ...]
) -> list[Asked]:
    """What can be asked so that nothing is open any more, the likeliest first: one of each choice before others of it."""
    rounds: list[list[Asked]] = []
    for name in choice.likely[:TRIED]:
        said = replace(asked, target=name) if choice.key == "target" else replace(asked, input=name)
        try:
            understand(found, said, data, steps)
            rounds.append([said])
        except Open as error:
            rounds.append(list(error.readings))
        except UserError:  # that value of it can't be
            continue
    deepest = max(map(len, rounds), default=0)
    return [each[place] for place in range(deepest) for each in rounds if place < len(each)]


def _named(names: str | None, found: dict[str, Column]) -> tuple[str, ...]:
    """The columns that were named: one, whatever its name, or several with commas."""
    return (names,) if names in found else listed(names)


def _understood(found: dict[str, Column], asked: Asked, data: str, steps: tuple[str, ...]) -> Reading:
    """The same; raises _Choice for the first thing that is open."""
    inputs, targets = _named(asked.input, found), _named(asked.target, found)
    for key, names in (
        ("input", inputs),
        ("target", targets),
        ("group", listed(asked.group if asked.group != "auto" else None)),
    ):
        for name in names:
            if name not in found:
                raise unknown(f"column ({key}=)", name, found)
    why: list[tuple[str, str, str]] = []
    targets = targets or (_target(found, inputs, asked.task, why, data),)
    split = SPLIT if SPLIT in found else None
    group = asked.group
    if group == "auto":
        read = listed(asked.input)
        group = next(
            (
                n
                for n, c in found.items()
                if n.lower() in GROUPS and n not in (*targets, *read) and c.kind != "text"
            ),
            None,
        )
    if group and asked.group == "auto" and not split:
        why.append(
            ("group", group, f"a column is called {group}: all of one {group} on one side of the split")
        )
    used = {*targets, group, split}
    inputs = inputs or _inputs(found, used, found[targets[0]], steps, asked.task, why, data)
    named = [*inputs, *targets, group, split]
    if twice := [name for name in (*inputs, *targets) if named.count(name) > 1]:
        raise UserError(f"{data}: {twice[0]} can't be read and foretold, or named twice. Name other columns.")
    task, several = task_of(asked.task, [found[n] for n in targets], [found[n] for n in inputs], why)
    left = tuple(n for n in found if n not in used and n not in inputs)
    kinds = tuple(found[name].kind for name in inputs)
    return Reading(task, inputs, kinds, targets, several, group, split, tuple(why), left)  # type: ignore[arg-type]


def _target(
    found: dict[str, Column], read: tuple[str, ...], task: str | None, why: list[tuple[str, str, str]], data: str
) -> str:
    """The column that answers; `read`: those that are read, where that was said; `task`: likewise. Raises _Choice."""
    named = [name for name in found if name.lower() in ANSWERS]
    many = {
        name: reason for name in found if name not in read and (reason := answers_many(name, found, read))
    }
    if len(named) == 1 or (not named and len(many) == 1):
        name = (named or list(many))[0]
        why.append(("target", name, many.get(name, f"a column is called {name}")))
        return name
    if not named and (pair := two_texts(found, read, task)):
        why.append(("target", pair[1], f"two columns of texts: {pair[1]} is written from {pair[0]}"))
        return pair[1]
    open_ = [c for name, c in found.items() if name not in (*read, SPLIT) and c.kind != "empty"]
    few = [c.name for c in open_ if c.kind == "category" and not c.dates]
    numbers = [c.name for c in open_ if c.kind == "number" and not _an_id(c.name)]
    likely = [*named, *many] or few + numbers[-1:] + numbers[:-1] or [c.name for c in open_][-1:]
    says = f"{data}: which column is to be foretold? It has {', '.join(found)}.{parted(open_)}"
    raise _Choice("target", says, list(dict.fromkeys(likely)))


def _an_id(name: str) -> bool:
    return name.lower() == "id" or name.lower().endswith("_id")


def _inputs(
    found: dict[str, Column],
    used: set[str | None],
    target: Column,
    steps: tuple[str, ...],
    task: str | None,
    why: list[tuple[str, str, str]],
    data: str,
) -> tuple[str, ...]:
    """The columns that are read. Raises _Choice."""
    open_ = [c for c in found.values() if c.name not in used]
    if task == "translate" and len(open_) == 1:
        return (open_[0].name,)
    if together := tuple(c.name for c in open_ if c.name in steps and c.kind != "empty"):
        why.append(("input", ",".join(together), "what the rows of one sequence say step by step"))
        return together
    sequences = [c for c in open_ if c.kind in SEQUENCES and not c.dates]
    alike = [c.name for c in sequences if stepwise(target, [c])]
    if len(alike) > 1:  # tags of another kind are as many
        alike = [name for name in alike if name.lower() not in MANY]
    if len(sequences) > 1 and len(alike) == 1:
        why.append(("input", alike[0], f"as many steps as {target.name} has in every row"))
        return (alike[0],)
    if len(sequences) == 1:
        why.append(("input", sequences[0].name, f"the one column of {SEQUENCES[sequences[0].kind]}"))
        return (sequences[0].name,)
    says = f"{data}: which columns are to be read? It has {', '.join(found)}, of which {len(sequences)} hold sequences."
    raise _Choice("input", says, _likely_inputs(open_, sequences))


def _likely_inputs(open_: list[Column], sequences: list[Column]) -> list[str]:
    """What may be read: one of several sequences, or all; without any all that each row says, or one thing of it."""
    names = [c.name for c in sequences]
    if names:
        return [*names, ",".join(names[:TOGETHER])]
    whole = [c.name for c in open_ if c.kind != "empty"]
    if not whole:
        return []  # every column is taken: no answer to this question would be one
    telling = [c.name for c in open_ if c.name in whole and not c.dates and not _an_id(c.name)] or whole
    return list(dict.fromkeys([",".join(telling[:TOGETHER]), *telling]))
