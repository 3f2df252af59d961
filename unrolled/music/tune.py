"""A parsed tune: its header fields and the flat row of things its body is written with.

Nothing is lost but comments and the amount of white space, so that a tune can be written back (`unrolled.music.writing`).
Lengths are fractions of a whole note and are the sounding ones: tuplets and broken rhythm are already in them.
`line` and `column` (from 1) say where an item stood; they don't count when tunes are compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from unrolled.music.signatures import SEMITONES, Key, Meter, Tempo


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Anything that stands somewhere in the text."""

    line: int = field(default=0, compare=False, repr=False)
    column: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Field(Placed):
    """`K:G` on its own line or `[K:G]` inline; `meaning` is the value of K, M, L and Q."""

    letter: str
    text: str
    inline: bool = False
    meaning: Key | Meter | Tempo | Fraction | None = None


@dataclass(frozen=True, slots=True)
class Pitch:
    """`letter` C..B in `octave` (middle C: 4), moved by `alter` semitones; `written`: the accidental in the text."""

    letter: str
    octave: int
    alter: int
    written: int | None = None
    tied: bool = False

    @property
    def midi(self) -> int:
        """MIDI number: 60 is middle C."""
        return 12 * (self.octave + 1) + SEMITONES[self.letter] + self.alter


@dataclass(frozen=True, slots=True)
class Note(Placed):
    """One pitch, or several at once (a chord)."""

    pitches: tuple[Pitch, ...]
    length: Fraction


@dataclass(frozen=True, slots=True)
class Rest(Placed):
    """Silence: `z`, invisible `x`, or `Z`/`X` for whole `bars`."""

    kind: str
    length: Fraction
    bars: int = 0


@dataclass(frozen=True, slots=True)
class Grace(Placed):
    """`{gab}`: notes that take their time from the note after them; `crushed` is `{/g}`."""

    notes: tuple[Note, ...]
    crushed: bool = False


@dataclass(frozen=True, slots=True)
class Tuplet(Placed):
    """`(p:q:r`: p notes in the time of q, for the next r notes."""

    p: int
    q: int
    r: int


@dataclass(frozen=True, slots=True)
class BarLine(Placed):
    """`close` repeat dots, the strokes (`style`), `open` repeat dots. `::` has no strokes."""

    close: int = 0
    style: str = "|"
    open: int = 0

    @property
    def border(self) -> bool:
        """A section ends or begins here: a repeat sign, a double or a thick bar line."""
        return bool(self.close or self.open) or self.style not in ("|", ".|", "[|]")


@dataclass(frozen=True, slots=True)
class Ending(Placed):
    """`[1`, `|2`, `[1,3`: what follows is played in these passes only."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Mark(Placed):
    """A decoration (`.`, `~`, `trill`), a slur's `(` or `)`, a spacer. It changes no length."""

    name: str


@dataclass(frozen=True, slots=True)
class Words(Placed):
    """`"Am"`: a chord symbol or an annotation."""

    text: str


@dataclass(frozen=True, slots=True)
class Space(Placed):
    """White space between beams; `newline`: the music line ends."""

    newline: bool = False


Item = Field | Note | Rest | Grace | Tuplet | BarLine | Ending | Mark | Words | Space


@dataclass(frozen=True, slots=True)
class Tune:
    """Header fields in their order (X: first, K: last) and the body."""

    header: tuple[Field, ...]
    body: tuple[Item, ...]

    def text(self, letter: str) -> str:
        """The first header field of that letter, or an empty string."""
        return next((f.text for f in self.header if f.letter == letter), "")

    @property
    def title(self) -> str:
        return self.text("T")

    @property
    def key(self) -> Key:
        return next((f.meaning for f in reversed(self.header) if isinstance(f.meaning, Key)), Key())

    @property
    def meter(self) -> Meter:
        """The header's meter; free when there is no M: field."""
        return next((f.meaning for f in reversed(self.header) if isinstance(f.meaning, Meter)), Meter())

    @property
    def unit(self) -> Fraction:
        """The unit note length: L:, or what the meter implies."""
        lengths = [f.meaning for f in self.header if isinstance(f.meaning, Fraction)]
        return lengths[-1] if lengths else self.meter.unit_length

    @property
    def tempo(self) -> Tempo | None:
        return next((f.meaning for f in reversed(self.header) if isinstance(f.meaning, Tempo)), None)
