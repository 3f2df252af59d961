"""What a table is: which column answers, which are read, which group or split it, and why. Nothing is guessed silently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from unrolled.datasets.asked import Asked as Asked
from unrolled.datasets.asked import Open
from unrolled.datasets.asked import listed as listed
from unrolled.datasets.columns import BESIDE as BESIDE
from unrolled.datasets.columns import CLASSES, TRACKED, Kind
from unrolled.datasets.columns import SEPARATOR as SEPARATOR
from unrolled.datasets.columns import Column as Column
from unrolled.datasets.columns import columns as columns
from unrolled.errors import UserError, unknown

ANSWERS = ("label", "class", "target", "y", "sentiment", "category")
MANY = (
    "labels",
    "tags",
    "tag",
    "pos",
    "ner",
    "pos_tags",
    "ner_tags",
)  # answers that may be one a step, or several
GROUPS = ("speaker", "user", "patient", "subject", "group")
SPLIT = "split"
SEQUENCES = {
    "text": "words", "series": "series", "tokens": "lists", "sound": "sound", "image": "images", "frames": "videos",
}  # fmt: skip
TRIED = 8  # columns that are tried where one is to be named
TOGETHER = 12  # columns that are offered to be read together


@dataclass(frozen=True)
class Reading:
    """How a table is read. `why`: (key, value, reason) of each decision that nobody asked for."""

    task: Literal["classify", "regress", "tag"]
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
        raise Open(choice.says, data, _settled(choice, found, asked, data, steps)) from None


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
    return (names,) if names in found else listed(names)  # type: ignore[return-value]


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
    targets = targets or (_target(found, inputs, why, data),)
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
    inputs = inputs or _inputs(found, used, found[targets[0]], steps, why, data)
    named = [*inputs, *targets, group, split]
    if twice := [name for name in (*inputs, *targets) if named.count(name) > 1]:
        raise UserError(f"{data}: {twice[0]} can't be read and foretold, or named twice. Name other columns.")
    task, several = _task(asked.task, [found[n] for n in targets], [found[n] for n in inputs], why)
    left = tuple(n for n in found if n not in used and n not in inputs)
    kinds = tuple(found[name].kind for name in inputs)
    return Reading(task, inputs, kinds, targets, several, group, split, tuple(why), left)  # type: ignore[arg-type]


def _target(
    found: dict[str, Column], read: tuple[str, ...], why: list[tuple[str, str, str]], data: str
) -> str:
    """The column that answers; `read`: those that are read, where that was said. Raises _Choice."""
    named = [name for name in found if name.lower() in ANSWERS]
    many = {
        name: reason for name in found if name not in read and (reason := _answers_many(name, found, read))
    }
    if len(named) == 1 or (not named and len(many) == 1):
        name = (named or list(many))[0]
        why.append(("target", name, many.get(name, f"a column is called {name}")))
        return name
    open_ = [c for name, c in found.items() if name not in (*read, SPLIT) and c.kind != "empty"]
    few = [c.name for c in open_ if c.kind == "category"]
    numbers = [c.name for c in open_ if c.kind == "number" and not _an_id(c.name)]
    likely = [*named, *many] or few + numbers[-1:] + numbers[:-1] or [c.name for c in open_][-1:]
    says = f"{data}: which column is to be foretold? It has {', '.join(found)}.{_parted(open_)}"
    raise _Choice("target", says, list(dict.fromkeys(likely)))


def _answers_many(name: str, found: dict[str, Column], read: tuple[str, ...]) -> str:
    """Why a column of that name holds answers: one for each step of another, or any number of labels a row."""
    if name.lower() not in MANY:
        return ""
    column = found[name]
    others = [c for c in found.values() if c.name != name and (not read or c.name in read)]
    plain = [c for c in others if c.name.lower() not in MANY]
    if alike := [c.name for c in plain if _stepwise(column, [c])]:
        return f"a column is called {name} and says as much as {alike[0]} has steps, in every row"
    sequences = [c for c in plain if c.kind in SEQUENCES]
    if sequences and _several(column) and column.kind != "series" and not _mostly(column, sequences):
        return f"a column is called {name} and names any number of labels a row"
    return ""


def _parted(open_: list[Column]) -> str:
    """What to do where labels stand in one cell with other signs than semicolons between."""
    for column in open_:
        for sign in (",", "|"):
            holding = sum(sign in text for text in column.distinct)
            if column.name.lower() in MANY and holding > 0.02 * len(column.distinct):
                return (
                    f" {column.name} seems to hold several labels with {sign!r} between: write {SEPARATOR!r} there, or "
                    "lists in .jsonl."
                )
    return ""


def _an_id(name: str) -> bool:
    return name.lower() == "id" or name.lower().endswith("_id")


def _inputs(
    found: dict[str, Column],
    used: set[str | None],
    target: Column,
    steps: tuple[str, ...],
    why: list[tuple[str, str, str]],
    data: str,
) -> tuple[str, ...]:
    """The columns that are read. Raises _Choice."""
    open_ = [c for c in found.values() if c.name not in used]
    if together := tuple(c.name for c in open_ if c.name in steps and c.kind != "empty"):
        why.append(("input", ",".join(together), "what the rows of one sequence say step by step"))
        return together
    sequences = [c for c in open_ if c.kind in SEQUENCES]
    alike = [c.name for c in sequences if _stepwise(target, [c])]
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
    telling = [name for name in whole if not _an_id(name)] or whole
    return list(dict.fromkeys([",".join(telling[:TOGETHER]), *telling]))


def _task(
    asked: str | None, targets: list[Column], inputs: list[Column], why: list[tuple[str, str, str]]
) -> tuple[str, bool]:
    """The task, and whether a row may have several labels."""
    first = targets[0]
    if len(targets) > 1:
        return _numbers(asked, targets, why), False
    if asked in (None, "tag") and _stepwise(first, inputs):
        reason = f"{first.name} says something of every step: it is as long as what is read"
        why.extend([("task", "tag", reason)] if asked is None else [])
        return "tag", False
    if asked == "tag":
        raise UserError(
            f"task=tag: {first.name} must hold one tag for each step of {', '.join(c.name for c in inputs)}, as a list or "
            "as words with spaces between."
        )
    several = _several(first)
    if asked is not None:
        return asked, several and asked == "classify"
    if several:
        task, reason = "classify", f"{first.name} names any number of labels a row"
    elif first.kind == "series":
        task, reason = "regress", f"{first.name} holds numbers"
    elif first.kind == "number" and len(first.distinct) > CLASSES:
        task, reason = "regress", f"{first.name} is a number of more than {CLASSES} values"
    elif first.kind == "number" and first.fractions:  # something measured: near values are nearly right
        count = len(first.distinct)
        task = "regress"
        reason = (
            f"{first.name} holds numbers with fractions (for its {count} values as classes: task=classify)"
        )
    else:
        task, reason = "classify", f"{first.name} has {_many(first.distinct)} values"
    why.append(("task", task, reason))
    return task, several


def _numbers(asked: str | None, targets: list[Column], why: list[tuple[str, str, str]]) -> str:
    """Several targets: all of them numbers, or nothing."""
    if asked not in (None, "regress"):
        raise UserError(f"task={asked}: one column answers, not {len(targets)}; only regress takes several.")
    if wordy := [c.name for c in targets if c.kind != "number"]:
        names = ",".join(c.name for c in targets)
        raise UserError(
            f"target={names}: {wordy[0]} holds no numbers. Name one column of classes, or only numbers."
        )
    why.extend([("task", "regress", f"{len(targets)} columns of numbers")] if asked is None else [])
    return "regress"


def _several(target: Column) -> bool:
    """Whether a row may have any number of labels."""
    listed = target.kind == "tokens" or (target.kind == "series" and target.whole)
    return listed or (target.several > 0.02 * target.values and target.kind != "number")


def _stepwise(target: Column, inputs: list[Column]) -> bool:
    """Whether the target has as many items, or words, as what is read has steps, in each of the first rows."""
    whole = target.kind == "series" and target.whole
    many = target.kind == "tokens" or whole or target.words > target.values
    return many and any(
        _alike(c.lengths, target.lengths) for c in inputs if c.kind in ("tokens", "series", "text")
    )


def _alike(one: list[int], other: list[int]) -> bool:
    """Whether the rows in which both are there have as many steps in both; at least one such row has some."""
    pairs = [(a, b) for a, b in zip(one, other, strict=False) if a >= 0 and b >= 0]
    return all(a == b for a, b in pairs) and any(a for a, _ in pairs)


def _mostly(target: Column, inputs: list[Column]) -> bool:
    """Whether more than half of the rows are as long as what one of these columns says: tags with a slip somewhere."""
    pairs = [
        [a == b for a, b in zip(c.lengths, target.lengths, strict=False) if a > 0 and b > 0] for c in inputs
    ]
    return any(2 * sum(same) > len(same) for same in pairs)


def _many(values: Sequence[str] | set[str]) -> str:
    return f"more than {TRACKED}" if len(values) > TRACKED else str(len(values))
