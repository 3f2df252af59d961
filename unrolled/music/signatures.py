"""What the fields K:, M:, L: and Q: of an ABC tune mean: key, meter, unit note length and tempo.

Source: "The abc music standard 2.1" (Dec 2011), sections 3.1.6 to 3.1.8 and 3.1.14. Lengths are fractions of a whole note.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from unrolled.errors import UserError

LETTERS = "CDEFGAB"
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
ORDER_OF_SHARPS = "FCGDAEB"

# How many sharps a mode has more than the major key on the same tonic; only the first three letters of its name count.
MODES = {
    "": 0, "maj": 0, "ion": 0, "lyd": 1, "mix": -1, "dor": -2, "m": -3, "min": -3, "aeo": -3, "phr": -4, "loc": -5,
}  # fmt: skip
CLEFS = frozenset({"treble", "bass", "bass3", "alto", "alto4", "alto2", "alto1", "tenor", "soprano", "mezzosoprano",
                   "baritone", "perc", "none", "treble+8", "treble-8", "bass+8", "bass-8"})  # fmt: skip


class AbcError(UserError):
    """A place where the text isn't ABC: `line` and `column` count from 1. Exit code 2."""

    def __init__(self, line: int, column: int, got: str, expected: str) -> None:
        shown = got if len(got) <= 40 else got[:37] + "..."
        super().__init__(f"ABC line {line}, column {column}: got {shown!r}, expected {expected}.")
        self.line, self.column, self.got, self.expected = line, column, got, expected


@dataclass(frozen=True, slots=True)
class Key:
    """`sharps` in the signature (negative: flats), then the explicit `alters` of single letters."""

    sharps: int = 0
    minor: bool = False
    alters: tuple[tuple[str, int], ...] = ()

    def alter(self, letter: str) -> int:
        """Semitones by which the signature moves `letter` (a capital): +1 sharp, -1 flat."""
        explicit = dict(self.alters).get(letter)
        return (self.sharps - ORDER_OF_SHARPS.index(letter) + 6) // 7 if explicit is None else explicit


@dataclass(frozen=True, slots=True)
class Meter:
    """`beats` of 1/`unit` to the bar; no beats: free meter."""

    beats: int = 0
    unit: int = 4

    @property
    def length(self) -> Fraction | None:
        """Length of a full bar in whole notes, None in free meter."""
        return Fraction(self.beats, self.unit) if self.beats else None

    @property
    def compound(self) -> bool:
        """Beats come in threes: 6/8, 9/8, 12/8 and the like."""
        return self.beats > 3 and self.beats % 3 == 0

    @property
    def beat(self) -> Fraction:
        """Length of the beat a listener taps, in whole notes."""
        return Fraction(3 if self.compound else 1, self.unit)

    @property
    def unit_length(self) -> Fraction:
        """The unit note length when no L: says otherwise (section 3.1.7)."""
        return Fraction(1, 16) if self.length is not None and self.length < Fraction(3, 4) else Fraction(1, 8)


@dataclass(frozen=True, slots=True)
class Tempo:
    """`per_minute` beats of length `beat`; `in_units`: the beat counts unit note lengths (the way before ABC 2.0)."""

    beat: Fraction
    per_minute: float
    in_units: bool = False

    def quarters(self, unit: Fraction) -> float:
        """Quarter notes per minute, given the tune's unit note length."""
        return float(self.beat * (unit if self.in_units else 1) * 4) * self.per_minute


def read_key(text: str, line: int, column: int, before: Key) -> Key:
    """`D Major`, `Ador`, `F#m`, `Hp`, `D Phr ^f`, `none`; a field that only changes the clef keeps the key `before`."""
    words = text.split()
    if not words or words[0].lower() == "none":
        return Key()
    if words[0] in ("HP", "Hp"):  # bagpipes sound F sharp and C sharp, whether or not the signature is drawn
        return Key(2)
    if "=" in words[0][1:] or words[0].lower() in CLEFS:
        return before
    tonic = re.match(r"([A-G])([#b]?)([A-Za-z]*)", words[0])
    if tonic is None or tonic.end() != len(words[0]):
        raise AbcError(line, column, text, "a key such as G, F#m, 'D Major', Ador, Hp or none")
    letter, sign, mode = tonic.groups()
    rest = words[1:]
    if not mode and rest and rest[0].isalpha() and rest[0].lower() not in CLEFS:
        mode = rest.pop(0)
    alters = tuple(_explicit(word, line, column) for word in rest if re.match(r"[\^_=]", word))
    if mode.lower() == "exp":
        return Key(0, False, alters)
    short = mode.lower() if mode.lower() == "m" else mode[:3].lower()
    if short not in MODES or (0 < len(mode) < 3 and short != "m"):
        modes = "major, minor (m), ionian, dorian, phrygian, lydian, mixolydian, aeolian, locrian or exp"
        raise AbcError(line, column, mode, f"a mode: {modes}")
    sharps = ORDER_OF_SHARPS.index(letter) - 1 + 7 * ({"": 0, "#": 1, "b": -1}[sign]) + MODES[short]
    return Key(sharps, MODES[short] == -3, alters)


def _explicit(word: str, line: int, column: int) -> tuple[str, int]:
    found = re.fullmatch(r"(\^\^?|__?|=)([A-Ga-g])", word)
    if found is None:
        raise AbcError(line, column, word, "an accidental of the key such as ^f, _b or =c")
    return found[2].upper(), ACCIDENTALS[found[1]]


ACCIDENTALS = {"^^": 2, "^": 1, "=": 0, "_": -1, "__": -2}


def read_meter(text: str, line: int, column: int) -> Meter:
    """`C` is 4/4, `C|` is 2/2, `(2+3)/8` adds up, `none` or nothing is free."""
    if text in ("", "none"):
        return Meter()
    if text in ("C", "C|"):
        return Meter(4, 4) if text == "C" else Meter(2, 2)
    found = re.fullmatch(r"\(?\s*([0-9]{1,3}(?:\s*\+\s*[0-9]{1,3})*)\s*\)?\s*/\s*([0-9]{1,3})", text)
    beats = sum(int(n) for n in found[1].split("+")) if found else 0
    if found is None or not 0 < beats <= 128 or not 0 < int(found[2]) <= 128:
        raise AbcError(line, column, text, "a meter such as 6/8, C, C| or none")
    return Meter(beats, int(found[2]))


def read_unit(text: str, line: int, column: int) -> Fraction:
    """The unit note length of L:, `1/8` or `1`."""
    found = re.fullmatch(r"([0-9]{1,3})\s*(?:/\s*([0-9]{1,3}))?", text)
    if found is None or not int(found[1]) or not int(found[2] or 1):
        raise AbcError(line, column, text, "a unit note length such as 1/8")
    return Fraction(int(found[1]), int(found[2] or 1))


def read_tempo(text: str, line: int, column: int) -> Tempo | None:
    """`1/4=120`, `"Lively" 3/8=110`, `1/4 3/8=80`, and the old `120`, `C=120`, `C3=40`; words alone give None."""
    plain = re.sub(r'"[^"]*"', " ", text).strip()
    if not re.search(r"[0-9]", plain):
        return None
    beats, _, rate = plain.rpartition("=")
    if re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,4})?", rate.strip()) and 1 <= float(rate) <= 2000:
        old = re.fullmatch(r"C?([0-9]{0,2})", beats.strip())
        if old:
            return Tempo(Fraction(int(old[1] or 1) or 1), float(rate), in_units=True)
        if all(re.fullmatch(r"[0-9]{1,3}/[1-9][0-9]{0,2}", part) for part in beats.split()):
            total = sum((Fraction(part) for part in beats.split()), Fraction(0))
            if total:
                return Tempo(total, float(rate))
    raise AbcError(line, column, text, "a tempo such as 1/4=120 (1 to 2000 beats a minute)")
