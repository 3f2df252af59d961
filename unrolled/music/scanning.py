"""The signs of a music line, read from left to right: one regular expression finds the next sign, one method takes it.

The scanner keeps what earlier signs mean for later ones: key, unit length, the bar's accidentals, an open tuplet, a `>`.
Source: the abc standard 2.1, section 4 (section 11 for propagate-accidentals).
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from unrolled.music.signatures import (
    ACCIDENTALS,
    AbcError,
    Key,
    Meter,
    Tempo,
    read_key,
    read_meter,
    read_tempo,
    read_unit,
)
from unrolled.music.signs import (
    DECORATIONS,
    GRACEFUL,
    NOTE,
    SIGN,
    ending_numbers,
    written_length,
)
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
    Tuplet,
    Words,
)


class Scanner:
    """Takes the lines of a tune in order; `items` is the body so far."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.key, self.meter, self.unit = Key(), Meter(), Fraction(0)
        self.propagate = "pitch"
        self.accidentals: dict[str, int] = {}
        self.factor, self.left = Fraction(1), 0  # of the open tuplet, and how many notes it still takes
        self.broken: Fraction | None = None  # what a `>` does to the next note
        self.last: int | None = None  # where in items the bar's last note or rest is
        self.tied: dict[tuple[str, int], int] = {}  # pitches the last note hands on, with their accidental
        self.voice = ""
        self.line, self.column = 1, 1

    def field(self, letter: str, text: str, line: int, column: int, inline: bool) -> Field:
        """The field, its meaning read and taken over for what follows."""
        meaning: Key | Meter | Tempo | Fraction | None = None
        match letter:
            case "K":
                meaning = self.key = read_key(text, line, column, self.key)
                self.unit = self.unit or self.meter.unit_length
            case "M":
                meaning = self.meter = read_meter(text, line, column)
            case "L":
                meaning = self.unit = read_unit(text, line, column)
            case "Q":
                meaning = read_tempo(text, line, column)
            case "V":
                voice = text.split()[0] if text else ""
                if self.voice and voice != self.voice:
                    raise AbcError(
                        line, column, f"V:{text}", f"one voice only (the tune began with V:{self.voice})"
                    )
                self.voice = voice
            case "I" if text.startswith("propagate-accidentals"):
                self.propagate = text.split()[-1]
                if self.propagate not in ("not", "octave", "pitch"):
                    raise AbcError(line, column, text, "propagate-accidentals with not, octave or pitch")
        return Field(letter, text, inline, meaning, line=line, column=column)

    def music(self, text: str, line: int, start: int = 0) -> None:
        """Take a line of music from column `start` (from 0) on."""
        self.line, at = line, start
        while at < len(text):
            found = SIGN.match(text, at)
            if found is None:
                raise AbcError(
                    line, at + 1, text[at], "a note, a rest, a bar line or another sign of ABC music"
                )
            self.column = at + 1
            at = self._take(found)
        if not text.endswith("\\"):
            self.end_line(line)

    def end_line(self, line: int) -> None:
        """Close the music line, unless nothing stands on it."""
        if self.items and isinstance(self.items[-1], Space) and not self.items[-1].newline:
            self.items.pop()
        if not self._at_line_start():
            self.items.append(Space(True, line=line, column=1))

    def finish(self, line: int) -> None:
        """The tune ends: nothing may be left half-said."""
        self.end_line(line)
        if self.left:
            raise AbcError(line, 1, "the end of the tune", f"{self.left} more notes of a tuplet")
        self._settle(line, 1, "the end of the tune")

    def _at_line_start(self) -> bool:
        last = self.items[-1] if self.items else None
        return (
            last is None
            or isinstance(last, Space)
            and last.newline
            or isinstance(last, Field)
            and not last.inline
        )

    def _settle(self, line: int, column: int, got: str) -> None:
        if self.broken is not None:
            raise AbcError(line, column, got, "the second note of a broken rhythm (> or <)")

    def _error(self, got: str, expected: str) -> AbcError:
        return AbcError(self.line, self.column, got, expected)

    def _put(self, item: Item) -> None:
        self.items.append(replace(item, line=self.line, column=self.column))

    def _take(self, m: re.Match[str]) -> int:
        """Take one sign; returns the column after it."""
        match m.lastgroup:
            case "note":
                held, self.tied = self.tied, {}
                self._sound(Note((self._pitch(m, held),), self._length(m, "note_")))
            case "chord":
                self._chord(m)
            case "rest":
                self._rest(m)
            case "bar":
                self._bar(m)
            case "space" | "continued":
                if not self._at_line_start() and not isinstance(self.items[-1], Space):
                    self._put(Space())
            case "newline":
                self.end_line(self.line)
            case "decoration":
                return self._decoration(m)
            case "mark":
                self._put(Mark(m[0]))
            case "words":
                self._put(Words(m[0][1:-1]))
            case "inline" | "bare":
                letter, text = m[f"{m.lastgroup}_letter"], m[f"{m.lastgroup}_text"].strip()
                self.items.append(self.field(letter, text, self.line, self.column, inline=True))
            case "ending":
                self._put(Ending(self._numbers(m["numbers"])))
            case "tuplet":
                self._tuplet(m)
            case "grace":
                self._grace(m)
            case "tie":
                self._tie()
            case _:
                self._broken(m[0])
        return m.end()

    def _decoration(self, m: re.Match[str]) -> int:
        name = m["name"] or m["old_name"]
        if name in DECORATIONS:
            self._put(Mark(name))
            return m.end()
        if m["old_name"]:
            raise self._error(m[0], "a known decoration such as +trill+")
        self.end_line(self.line)  # not a decoration: `!` ends the line, as it did before ABC 2.0
        return m.start() + 1

    def _length(self, m: re.Match[str], prefix: str = "") -> Fraction:
        length = written_length(self.unit, m[f"{prefix}num"], m[f"{prefix}slashes"], m[f"{prefix}den"])
        if length is None:
            raise self._error(m[0], "a note length such as 2, /2, // or 3/2 (at most 64 whole notes)")
        return length

    def _pitch(self, m: re.Match[str], held: dict[tuple[str, int], int]) -> Pitch:
        letter = m["letter"].upper()
        octave = 4 + m["letter"].islower() + m["octave"].count("'") - m["octave"].count(",")
        place = f"{letter}{octave}" if self.propagate == "octave" else letter
        written = ACCIDENTALS[m["accidental"]] if m["accidental"] else None
        if written is not None:
            alter = written
            if self.propagate != "not":
                self.accidentals[place] = written
        elif (letter, octave) in held:  # tied over: sounds as the note before, whatever the new bar says
            alter = held[letter, octave]
        else:
            alter = self.accidentals.get(place, self.key.alter(letter))
        pitch = Pitch(letter, octave, alter, written)
        if not 0 <= pitch.midi <= 127:
            raise self._error(m[0], "a pitch within the MIDI range (0 to 127)")
        return pitch

    def _sound(self, item: Note | Rest) -> None:
        """Put a note or a rest, with what a `>` and a tuplet do to its length."""
        length = item.length
        if self.broken is not None:
            length, self.broken = length * self.broken, None
        if self.left:
            length *= self.factor
            self.left -= 1
        self.last = len(self.items)
        self.items.append(replace(item, length=length, line=self.line, column=self.column))

    def _chord(self, m: re.Match[str]) -> None:
        """All at once; the first note's length counts (section 4.17), times the chord's own."""
        held, self.tied = self.tied, {}
        pitches: list[Pitch] = []
        length, at, text = Fraction(0), 0, m["notes"]
        while at < len(text):
            note = NOTE.match(text, at)
            if note:
                pitches.append(self._pitch(note, held))
                length = length or self._length(note)
            elif text[at] == "-" and pitches:
                pitches[-1] = replace(pitches[-1], tied=True)
            elif not GRACEFUL.match(text[at]):
                raise self._error(text[at:], "a note of the chord")
            at = note.end() if note else at + 1
        if not pitches:
            raise self._error(m[0], "a chord of at least one note such as [CEG]")
        self.tied = {(p.letter, p.octave): p.alter for p in pitches if p.tied}
        self._sound(Note(tuple(pitches), length / self.unit * self._length(m, "chord_")))

    def _rest(self, m: re.Match[str]) -> None:
        self.tied = {}
        if m["kind"] in "zx":
            self._sound(Rest(m["kind"], self._length(m, "rest_")))
            return
        bars = int(m["rest_num"] or 1) if len(m["rest_num"]) < 3 and not m["rest_slashes"] else 0
        if not bars or self.meter.length is None:
            raise self._error(m[0], "Z with a number of bars from 1 to 99, in a tune with a meter")
        self._settle(self.line, self.column, m[0])
        self._put(Rest(m["kind"], self.meter.length * bars, bars))

    def _bar(self, m: re.Match[str]) -> None:
        self._settle(self.line, self.column, m[0])
        self.accidentals.clear()
        self.last = None
        if m["both"]:
            times = (len(m["both"]) + 1) // 2
            self._put(BarLine(times, "", times))
            return
        self._put(BarLine(len(m["close"]), m["style"], len(m["open"])))
        if max(len(m["close"]), len(m["open"])) > 8:
            raise self._error(m[0], "at most 8 repeat dots")
        if m["pass"]:
            self._put(Ending(self._numbers(m["pass"])))

    def _numbers(self, text: str) -> tuple[int, ...]:
        numbers = ending_numbers(text)
        if numbers is None:
            raise self._error(text, "the numbers of an ending such as 1 or 1,3 or 1-3 (at most 16)")
        return numbers

    def _tuplet(self, m: re.Match[str]) -> None:
        p = int(m["p"][:3])
        odd = 3 if self.meter.compound else 2
        q = int(m["q"][:3]) if m["q"] else {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}.get(p, odd)
        r = int(m["r"][:3]) if m["r"] else p
        if self.left:
            raise self._error(m[0], f"{self.left} more notes of the tuplet before")
        if not (2 <= p <= 64 and 1 <= q <= 64 and 1 <= r <= 64):
            raise self._error(m[0], "a tuplet such as (3 or (3:2:3")
        self.factor, self.left = Fraction(q, p), r
        self._put(Tuplet(p, q, r))

    def _grace(self, m: re.Match[str]) -> None:
        notes: list[Note] = []
        at, text = 0, m["graces"]
        while at < len(text):
            note = NOTE.match(text, at)
            if note:
                notes.append(Note((self._pitch(note, {}),), self._length(note)))
            elif not GRACEFUL.match(text[at]):
                raise self._error(text[at:], "a grace note")
            at = note.end() if note else at + 1
        self._put(Grace(tuple(notes), bool(m["crushed"])))

    def _tie(self) -> None:
        item = self.items[self.last] if self.last is not None else None
        if self.last is None or item is None:
            raise self._error("-", "a tie right after a note")
        if not isinstance(item, Note):  # real tunes tie rests: it means nothing
            return
        pitches = tuple(replace(p, tied=True) for p in item.pitches)
        self.items[self.last] = replace(item, pitches=pitches)
        self.tied = {(p.letter, p.octave): p.alter for p in pitches}

    def _broken(self, signs: str) -> None:
        """`A>B`: the first one dotted, the second halved; `>>` twice dotted and quartered; `<` the other way round."""
        item = self.items[self.last] if self.last is not None else None
        self._settle(self.line, self.column, signs)
        if self.last is None or not isinstance(item, Note | Rest) or len(signs) > 4:
            raise self._error(signs, "a broken rhythm (> or <, at most four) between two notes of a bar")
        short = Fraction(1, 2 ** len(signs))
        first, self.broken = (2 - short, short) if signs[0] == ">" else (short, 2 - short)
        self.items[self.last] = replace(item, length=item.length * first)
