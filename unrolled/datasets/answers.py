"""What a column of answers is: classes, any number of labels a row, a tag a step, or numbers."""

from __future__ import annotations

from collections.abc import Sequence

from unrolled.datasets.columns import CLASSES, SEPARATOR, TRACKED, Column
from unrolled.errors import UserError

MANY = (
    "labels",
    "tags",
    "tag",
    "pos",
    "ner",
    "pos_tags",
    "ner_tags",
)  # answers that may be one a step, or several
WRITTEN = ("text", "category", "tokens", "number")  # kinds of columns that can be read and written as texts
PIECES = 1.5  # words a value from which an answer may be free text
SEQUENCES = {
    "text": "words", "series": "series", "tokens": "lists", "sound": "sound", "image": "images", "frames": "videos",
}  # fmt: skip


def task_of(
    asked: str | None, targets: list[Column], inputs: list[Column], why: list[tuple[str, str, str]]
) -> tuple[str, bool]:
    """The task, and whether a row may have several labels."""
    first = targets[0]
    if len(targets) > 1:
        return _numbers(asked, targets, why), False
    if asked == "translate":
        _text_alone(inputs, first)
        return "translate", False
    if asked in (None, "tag") and stepwise(first, inputs):
        reason = f"{first.name} says something of every step: it is as long as what is read"
        why.extend([("task", "tag", reason)] if asked is None else [])
        return "tag", False
    if asked is None and free_text(first) and _one_text(inputs):
        reason = f"{first.name} is free text: {_many(first.distinct)} different ones, of several words"
        why.append(("task", "translate", reason))
        return "translate", False
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


def free_text(target: Column) -> bool:
    """Whether a column's values are texts to be written, no classes: most are different, and of several pieces."""
    different = len(target.distinct) > min(TRACKED, target.values // 2)
    return target.kind == "text" and not target.dates and different and target.words >= PIECES * target.values


def two_texts(found: dict[str, Column], read: tuple[str, ...], task: str | None) -> tuple[str, str] | None:
    """What is read and what is written where a table is two columns of texts, the first being the source."""
    open_ = [c for name, c in found.items() if name != "split" and c.kind != "empty"]
    if task not in (None, "translate") or len(open_) != 2:
        return None
    source, target = open_ if not read or read == (open_[0].name,) else reversed(open_)
    written = free_text(target) if task is None else target.kind in WRITTEN
    named = {*read} <= {source.name} and source.kind in WRITTEN and (bool(task) or not source.dates)
    return (source.name, target.name) if named and written else None


def _one_text(inputs: list[Column]) -> bool:
    return len(inputs) == 1 and inputs[0].kind in WRITTEN


def _text_alone(inputs: list[Column], target: Column) -> None:
    """Raises UserError unless one column of texts is read and the target holds texts, too."""
    if not _one_text(inputs):
        said = ", ".join(f"{c.name} ({c.kind})" for c in inputs)
        raise UserError(f"task=translate: it reads one column of texts, and got {said}. Name it: input=")
    if target.kind not in WRITTEN:
        raise UserError(
            f"task=translate: {target.name} is {target.kind}, and texts are to be written. Name another column: target="
        )


def answers_many(name: str, found: dict[str, Column], read: tuple[str, ...]) -> str:
    """Why a column of that name holds answers: one for each step of another, or any number of labels a row."""
    if name.lower() not in MANY:
        return ""
    column = found[name]
    others = [c for c in found.values() if c.name != name and (not read or c.name in read)]
    plain = [c for c in others if c.name.lower() not in MANY]
    if alike := [c.name for c in plain if stepwise(column, [c])]:
        return f"a column is called {name} and says as much as {alike[0]} has steps, in every row"
    sequences = [c for c in plain if c.kind in SEQUENCES]
    if sequences and _several(column) and column.kind != "series" and not _mostly(column, sequences):
        return f"a column is called {name} and names any number of labels a row"
    return ""


def parted(open_: list[Column]) -> str:
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


def _several(target: Column) -> bool:
    """Whether a row may have any number of labels."""
    listed = target.kind == "tokens" or (target.kind == "series" and target.whole)
    return listed or (target.several > 0.02 * target.values and target.kind != "number")


def stepwise(target: Column, inputs: list[Column]) -> bool:
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
