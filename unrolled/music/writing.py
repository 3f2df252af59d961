"""Tune -> ABC text that parses to an equal tune. Broken rhythm is written out as lengths, comments are gone."""

from __future__ import annotations

from fractions import Fraction

from unrolled.music.signatures import ACCIDENTALS
from unrolled.music.tune import (
    BarLine,
    Ending,
    Field,
    Grace,
    Item,
    Mark,
    Note,
    Pitch,
    Rest,
    Space,
    Tune,
    Tuplet,
    Words,
)

SIGNS = {alter: sign for sign, alter in ACCIDENTALS.items()}


def write(tune: Tune) -> str:
    """The tune as ABC text, ending in a newline: `parse(write(tune)) == tune`."""
    header = "".join(f"{field.letter}:{field.text}\n" for field in tune.header)
    unit, factor, left = tune.unit, Fraction(1), 0
    parts: list[str] = []
    for item in tune.body:
        if isinstance(item, Field) and item.letter == "L" and isinstance(item.meaning, Fraction):
            unit = item.meaning
        elif isinstance(item, Tuplet):
            factor, left = Fraction(item.q, item.p), item.r
        parts.append(_sign(item, unit if isinstance(item, Grace) else unit * factor))
        if isinstance(item, Note | Rest) and not (isinstance(item, Rest) and item.bars):
            left -= 1
            factor = factor if left > 0 else Fraction(1)
    return header + "".join(parts)


def _sign(item: Item, unit: Fraction) -> str:
    """One item as text; `unit` is the length that is written as nothing at all."""
    match item:
        case Field(letter=letter, text=text, inline=inline):
            return f"[{letter}:{text}]" if inline else f"{letter}:{text}\n"
        case Note(pitches=pitches, length=length):
            return _note(pitches, length / unit)
        case Rest(kind=kind, length=length, bars=bars):
            return f"{kind}{bars if bars > 1 else ''}" if bars else kind + _length(length / unit)
        case Grace(notes=notes, crushed=crushed):
            return "{" + "/" * crushed + "".join(_sign(note, unit) for note in notes) + "}"
        case Tuplet(p=p, q=q, r=r):
            return f"({p}:{q}:{r}"
        case BarLine(close=close, style=style, open=opens):
            return ":" * close + style + ":" * opens
        case Ending(numbers=numbers):
            return "[" + ",".join(str(n) for n in numbers)
        case Mark(name=name):
            return name if _bare(name) else f"!{name}!"
        case Words(text=text):
            return f'"{text}"'
        case Space(newline=newline):
            return "\n" if newline else " "


def _bare(name: str) -> bool:
    """A mark that is one sign of its own, not a name between exclamation marks."""
    return len(name) == 1 and name not in "0123456789+>^pf" or name[0] in "`y"


def _note(pitches: tuple[Pitch, ...], length: Fraction) -> str:
    if len(pitches) == 1:
        return _pitch(pitches[0]) + _length(length) + "-" * pitches[0].tied
    return "[" + "".join(_pitch(p) + "-" * p.tied for p in pitches) + "]" + _length(length)


def _pitch(pitch: Pitch) -> str:
    sign = "" if pitch.written is None else SIGNS[pitch.written]
    if pitch.octave >= 5:
        return sign + pitch.letter.lower() + "'" * (pitch.octave - 5)
    return sign + pitch.letter + "," * (4 - pitch.octave)


def _length(length: Fraction) -> str:
    number = "" if length.numerator == 1 else str(length.numerator)
    divisor = "" if length.denominator == 1 else "/" if length.denominator == 2 else f"/{length.denominator}"
    return number + divisor
