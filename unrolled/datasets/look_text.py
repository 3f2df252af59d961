"""What `data look` says of rows, for people: columns, lengths, classes, the split, leaks and what a model sees."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from unrolled.datasets.histogram import bars, ranges
from unrolled.datasets.leaks import Repeats
from unrolled.datasets.media import Clip, MediaFile

if TYPE_CHECKING:
    from unrolled.datasets.look_rows import Lengths, RowsLook, Tried

WIDTH = 100  # columns of the terminal
CLASSES = 12  # shown
NOTES = 6  # shown


def text_of(look: RowsLook) -> str:
    """For a terminal of 100 columns."""
    lines = [f"{look.data}: {look.rows:,} rows", ""]
    if look.looked < look.rows:
        lines[1:1] = [f"  looked at {look.looked:,} of them, spread over all: counts below are of these"]
    lines += _columns(look)
    for lengths in look.lengths:
        lines += ["", *_lengths(lengths)]
    if look.classes:
        lines += ["", f"  {len(look.classes):,} classes", *bars(list(look.classes.items())[:CLASSES])]
        if len(look.classes) > CLASSES:
            lines.append(f"    and {len(look.classes) - CLASSES:,} more")
    if look.notes:
        lines += ["", *_said(look.notes, 2)]
    if look.reading is None:
        return "\n".join([*lines, "", *_said(look.open.split("\n"), 0)])
    lines += [
        "",
        f"  task {look.reading.task}: {', '.join(look.reading.inputs)} -> {look.reading.target}",
    ]
    lines += _said([f"{key}={value}: {reason}" for key, value, reason in look.reading.why], 4)
    if look.reading.left_out:
        lines += _said([f"left out: {', '.join(look.reading.left_out)}"], 4)
    if look.dealt is None:
        return "\n".join([*lines, "", *_said([f"It can't be trained on as it is: {look.open}"], 2)])
    return "\n".join([*lines, *_dealt(look.dealt, look.looked)])


def _columns(look: RowsLook) -> list[str]:
    width = min(30, max(len(c.name) for c in look.columns))
    lines = []
    for c in look.columns:
        missing = f", {c.missing:,} missing" if c.missing else ""
        distinct = f", {c.distinct:,} distinct" if c.distinct is not None else ""
        lines.append(f"  {c.name[:width]:<{width}}  {c.kind}{distinct}{missing}: ")
        lines[-1] += shown(c.example, WIDTH - len(lines[-1]))
    return lines


def _lengths(lengths: Lengths) -> list[str]:
    title = f"  {lengths.unit} of {lengths.column}"
    digits = ".2f" if lengths.unit == "seconds" else ".0f"
    if lengths.shortest == lengths.longest:
        return [f"{title}: {lengths.longest:{digits}}, all of them"]
    named = ranges(lengths.bins, hundredths=lengths.unit == "seconds")
    span = f"{lengths.shortest:{digits}} to {lengths.longest:{digits}}"
    return [f"{title}: {span}, {lengths.mean:.4g} in the mean", *bars(named)]


def _dealt(dealt: Tried, looked: int) -> list[str]:
    """The split, repeats and leaks, and what the model sees."""
    tried = f", tried with {dealt.rows:,} rows, spread over all" if dealt.rows < looked else ""
    shares = ", ".join(f"{count:,} for {part}" for part, count in dealt.parts.items())
    lines = ["", f"  split: {shares}{tried}"]
    left = [f"{dealt.left:,} rows have no input or no answer: left out"] if dealt.left else []
    lines += _said(left + dealt.notes, 4)
    lines += ["", *_said([_repeats(dealt.repeats)], 2)]
    lines += _said([f"leak: {leak.says}" for leak in dealt.leaks] or ["no leaks across the split found"], 2)
    codecs = ", ".join(f"{name} as {codec}" for name, codec in dealt.codecs.items())
    whole = "" if dealt.fitted == dealt.parts["train"] else f" {dealt.fitted:,} rows of"
    lines += ["", f"  what the model sees: {codecs}, fitted on{whole} the training part"]
    for one in dealt.seen:
        shape = " x ".join(map(str, one.shape))
        lines += ["", *_said([f"{one.origin} ({one.answer}): {shape}, {one.says}"], 4)]
        lines += [f"      {line}" for line in one.lines]
    return lines


def _repeats(repeats: Repeats) -> str:
    more = f", {repeats.alike:,} more but for spelling" if repeats.alike else ""
    near = f", about {repeats.near:,} more are nearly the same as one" if repeats.near else ""
    if not (repeats.identical or more or near):
        return "no repeats: every input is another"
    return f"repeats: {repeats.identical:,} rows have the input of another row{more}{near}"


def _said(notes: list[str], indent: int) -> list[str]:
    """Each note in lines that fit, the first few of them. A command stays on one line, to be pasted."""
    more = [f"and {len(notes) - NOTES} more notes"] if len(notes) > NOTES else []
    return [
        line
        for note in [*notes[:NOTES], *more]
        for line in (
            [note]
            if note.startswith("  unrolled ")
            else textwrap.wrap(note, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2))
        )
    ]


def shown(value: object, width: int) -> str:
    """A value in so many characters at most."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {' x '.join(map(str, value.shape))}"
    text = value.name if isinstance(value, (MediaFile, Clip)) else " ".join(str(value).split())
    return text if len(text) <= width else text[: width - 1] + "…"
