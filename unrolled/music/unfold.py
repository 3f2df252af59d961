"""A tune as it is heard: repeats and endings played out, ties joined, grace notes given their time, tempo applied."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from unrolled.errors import UserError
from unrolled.music.signatures import Key, Meter, Tempo
from unrolled.music.tune import BarLine, Ending, Field, Grace, Item, Mark, Note, Rest, Tune

# Beats a minute that a rhythm (R:, or its name in Z: or T:) is usually played at for listening; longer names first.
RHYTHMS = {
    "slip jig": (Fraction(3, 8), 116), "double jig": (Fraction(3, 8), 112), "single jig": (Fraction(3, 8), 120),
    "hop jig": (Fraction(3, 8), 120), "slide": (Fraction(3, 8), 126), "jig": (Fraction(3, 8), 112),
    "hornpipe": (Fraction(1, 2), 80), "strathspey": (Fraction(1, 4), 120), "barndance": (Fraction(1, 2), 84),
    "reel": (Fraction(1, 2), 100), "polka": (Fraction(1, 4), 126), "waltz": (Fraction(1, 4), 138),
    "march": (Fraction(1, 4), 104), "air": (Fraction(1, 4), 80), "mazurka": (Fraction(1, 4), 132),
}  # fmt: skip
DYNAMICS = {
    "pppp": 24,
    "ppp": 32,
    "pp": 42,
    "p": 56,
    "mp": 68,
    "mf": 80,
    "f": 94,
    "ff": 106,
    "fff": 116,
    "ffff": 122,
}
LOUDER = frozenset({">", "accent", "emphasis", "L", "sfz", "marcato", "^"})
STACCATO = frozenset({".", "staccato"})
GRACE_LENGTH = Fraction(1, 8)  # quarters
LONGEST_MINUTES = 10


@dataclass(frozen=True, slots=True)
class Sound:
    """One note as played: `start` and `length` in quarters, the same in seconds, MIDI pitch and velocity."""

    start: Fraction
    length: Fraction
    midi: int
    velocity: int
    start_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Performance:
    """The sounds in order of their start, and where (in quarters) tempo, meter and key change."""

    sounds: tuple[Sound, ...]
    tempos: tuple[tuple[Fraction, float], ...]  # quarter notes a minute
    meters: tuple[tuple[Fraction, Meter], ...]
    keys: tuple[tuple[Fraction, Key], ...]
    seconds: float  # until the last note or rest ends


def unfold(tune: Tune) -> Performance:
    """Play the tune out.

    Raises UserError when it lasts more than ten minutes (a slip such as a note of length 9999).
    """
    player = _Player(tune)
    for item in playing_order(tune.body):
        player.take(item)
    return player.performance()


def default_tempo(tune: Tune) -> Tempo:
    """The tempo of a tune without Q:, by its rhythm (R:, else a word in its transcription note or title), else by meter."""
    for letter in ("R", "Z", "T"):
        text = tune.text(letter).lower().replace("-", " ")
        for name, (beat, rate) in RHYTHMS.items():
            if f" {name}" in f" {text}".replace(":", " "):
                return Tempo(beat, rate)
    meter = tune.meter
    if meter.compound:
        return Tempo(meter.beat, 110)
    return Tempo(Fraction(1, 2), 88) if meter.unit == 2 else Tempo(Fraction(1, 4), 120)


def playing_order(body: tuple[Item, ...]) -> Iterator[Item]:
    """The items in the order they're played: `:|` returns to the last repeat sign, double bar or beginning."""
    start = 0
    while start < len(body):
        end, rounds = _section(body, start)
        for round_ in range(1, rounds + 1):
            playing = True
            for item in body[start:end]:
                if isinstance(item, Ending):
                    playing = round_ in item.numbers
                if playing:
                    yield item
        start = end


def _section(body: tuple[Item, ...], start: int) -> tuple[int, int]:
    """Where the section from `start` ends and how often it is played: once more per colon, or as its endings ask.

    In a section that `|:` opened, a double bar is a border only after the last ending.
    """
    before = body[start - 1] if start else None
    opened = isinstance(before, BarLine) and before.open > 0
    rounds, ending = 1, frozenset({1})
    for at in range(start, len(body)):
        item = body[at]
        if isinstance(item, Ending):
            ending = frozenset(item.numbers)
            rounds = max(rounds, *ending)
        elif isinstance(item, BarLine) and item.border and not _ending_follows(body, at):
            sign = item.close or item.open
            if opened and not sign and 1 in ending:
                continue
            return at + 1, rounds if rounds > 1 else item.close + 1
    return len(body), rounds


def _ending_follows(body: tuple[Item, ...], at: int) -> bool:
    """The bar line at `at` stands right before a later ending, or before a first one without closing the repeat."""
    for item in body[at + 1 :]:
        if isinstance(item, Ending):
            bar = body[at]
            return 1 not in item.numbers or isinstance(bar, BarLine) and not bar.close
        if isinstance(item, Note | Rest) or isinstance(item, BarLine) and item.border:
            return False
    return False


@dataclass(slots=True)
class _Struck:
    """A sound while it may still grow by a tie; times in quarters. `held`: the part of it that sounds (staccato: half)."""

    start: Fraction
    length: Fraction
    midi: int
    velocity: int
    held: Fraction = Fraction(1)


class _Player:
    """Takes items in playing order and keeps the clock (`now`, in quarters)."""

    def __init__(self, tune: Tune) -> None:
        self.unit, self.meter = tune.unit, tune.meter
        self.now = Fraction(0)
        self.bar_start: Fraction | None = None  # None until the first bar line: a pick-up has no downbeat
        self.struck: list[_Struck] = []
        self.ringing: dict[int, _Struck] = {}  # tied on, by MIDI pitch
        self.graces: tuple[Note, ...] = ()
        self.loudness, self.accent, self.staccato = DYNAMICS["mf"], False, False
        self.tempos = [(self.now, (tune.tempo or default_tempo(tune)).quarters(tune.unit))]
        self.meters = [(self.now, tune.meter)]
        self.keys = [(self.now, tune.key)]

    def take(self, item: Item) -> None:
        match item:
            case Field(meaning=Tempo() as tempo):
                self.tempos.append((self.now, tempo.quarters(self.unit)))
            case Field(meaning=Meter() as meter):
                self.meter = meter
                self.meters.append((self.now, meter))
            case Field(meaning=Key() as key):
                self.keys.append((self.now, key))
            case BarLine():
                self.bar_start = self.now
            case Mark(name=name):
                self.loudness = DYNAMICS.get(name, self.loudness)
                self.accent |= name in LOUDER
                self.staccato |= name in STACCATO
            case Grace(notes=notes):
                self.graces = notes
            case Rest(length=length):
                self.ringing, self.graces = {}, ()
                self.now += length * 4
            case Note():
                self._note(item)
            case _:
                pass

    def _note(self, note: Note) -> None:
        length, velocity = note.length * 4, self._velocity()
        start, end = self._play_graces(length, velocity), self.now + length
        ringing = {}
        for pitch in note.pitches:
            held = self.ringing.get(pitch.midi)
            if held is not None and held.start + held.length == start:
                held.length += end - start
            else:
                held = _Struck(
                    start, end - start, pitch.midi, velocity, Fraction(1, 2) if self.staccato else Fraction(1)
                )
                self.struck.append(held)
            if pitch.tied:
                ringing[pitch.midi] = held
        self.ringing = ringing
        self.now, self.accent, self.staccato = end, False, False

    def _play_graces(self, length: Fraction, velocity: int) -> Fraction:
        """Strike the waiting grace notes; returns when the main note begins. They take at most half of its time."""
        each = min(GRACE_LENGTH, length / 2 / max(len(self.graces), 1))
        for i, grace in enumerate(self.graces):
            self.struck.append(
                _Struck(self.now + i * each, each, grace.pitches[0].midi, max(velocity - 12, 1))
            )
        start = self.now + each * len(self.graces)
        self.graces = ()
        return start

    def _velocity(self) -> int:
        """Loudness with the weight of the beat: the downbeat most, off-beats least."""
        weight = -4
        if self.bar_start is not None and (self.now - self.bar_start) % (self.meter.beat * 4) == 0:
            weight = 14 if self.now == self.bar_start else 6
        return max(1, min(127, self.loudness + weight + 16 * self.accent))

    def performance(self) -> Performance:
        clock = _Clock(self.tempos)
        seconds = clock.seconds(self.now)
        if seconds > 60 * LONGEST_MINUTES:
            raise UserError(
                f"the tune would play for {seconds / 60:.0f} minutes, expected at most {LONGEST_MINUTES}: look for a slip"
                " in its note lengths, tempo (Q:) or unit length (L:)."
            )
        sounds = []
        for s in sorted(self.struck, key=lambda s: (s.start, s.midi)):
            start, end = clock.seconds(s.start), clock.seconds(s.start + s.length * s.held)
            sounds.append(Sound(s.start, s.length * s.held, s.midi, s.velocity, start, end - start))
        return Performance(tuple(sounds), tuple(self.tempos), tuple(self.meters), tuple(self.keys), seconds)


class _Clock:
    """Quarters to seconds under a list of (quarter, quarters a minute), the first at 0."""

    def __init__(self, tempos: list[tuple[Fraction, float]]) -> None:
        self.quarters = [quarter for quarter, _ in tempos]
        self.rates = [rate for _, rate in tempos]
        self.reached = [0.0]
        for i in range(1, len(tempos)):
            self.reached.append(
                self.reached[-1] + float(self.quarters[i] - self.quarters[i - 1]) * 60 / self.rates[i - 1]
            )

    def seconds(self, quarter: Fraction) -> float:
        i = bisect_right(self.quarters, quarter) - 1
        return self.reached[i] + float(quarter - self.quarters[i]) * 60 / self.rates[i]
