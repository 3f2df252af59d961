"""A tune as a Standard MIDI File, format 0: one track with name, tempo, time signature, key signature and the notes.

Source: "Standard MIDI Files 1.0" (MIDI Manufacturers Association, RP-001).
"""

from __future__ import annotations

import struct
from fractions import Fraction

from unrolled.music.signatures import Key, Meter
from unrolled.music.tune import Tune
from unrolled.music.unfold import unfold

TICKS = 480  # a quarter note: divides by 3 and 5, so triplets and quintuplets are exact
FLUTE = 73  # General MIDI program, counted from 0

NOTE_OFF, META, NOTE_ON = 0, 1, 2  # order of events at one tick: a repeated pitch ends before it begins again


def midi_bytes(tune: Tune) -> bytes:
    """The tune, repeats played out, as the bytes of a `.mid` file."""
    performance = unfold(tune)
    events: list[tuple[int, int, bytes]] = [
        (0, META, _meta(0x03, tune.title.encode("ascii", "replace"))),
        (0, META, bytes([0xC0, FLUTE])),
    ]
    events += [(_tick(at), META, _tempo(rate)) for at, rate in performance.tempos]
    events += [
        (_tick(at), META, _time_signature(meter))
        for at, meter in performance.meters
        if _can_be_written(meter)
    ]
    events += [(_tick(at), META, _key_signature(key)) for at, key in performance.keys]
    for sound in performance.sounds:
        start, end = _tick(sound.start), _tick(sound.start + sound.length)
        events.append((start, NOTE_ON, bytes([0x90, sound.midi, sound.velocity])))
        events.append((max(end, start + 1), NOTE_OFF, bytes([0x80, sound.midi, 0])))
    track, now = bytearray(), 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        track += _variable(tick - now) + message
        now = tick
    track += b"\x00" + _meta(0x2F, b"")
    return (
        b"MThd"
        + struct.pack(">IHHH", 6, 0, 1, TICKS)
        + b"MTrk"
        + struct.pack(">I", len(track))
        + bytes(track)
    )


def _tick(quarters: Fraction) -> int:
    """Rounded from the absolute time, so that odd tuplets don't drift."""
    return round(quarters * TICKS)


def _variable(value: int) -> bytes:
    """A variable-length quantity: seven bits a byte, the highest first, all but the last marked by their top bit."""
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(value & 0x7F | 0x80)
    return bytes(reversed(parts))


def _meta(kind: int, data: bytes) -> bytes:
    return bytes([0xFF, kind]) + _variable(len(data)) + data


def _tempo(rate: float) -> bytes:
    """Microseconds a quarter in three bytes: slower than 3.58 quarters a minute can't be written."""
    return _meta(0x51, min(round(60e6 / rate), 0xFFFFFF).to_bytes(3, "big"))


def _can_be_written(meter: Meter) -> bool:
    """MIDI knows neither free meter nor a unit that isn't a power of two."""
    return meter.beats > 0 and meter.unit & (meter.unit - 1) == 0


def _time_signature(meter: Meter) -> bytes:
    clocks = min(255, round(meter.beat * 96))  # of 24 a quarter, from one metronome click to the next
    return _meta(0x58, bytes([meter.beats, meter.unit.bit_length() - 1, max(clocks, 1), 8]))


def _key_signature(key: Key) -> bytes:
    sharps = max(-7, min(7, key.sharps))
    return _meta(0x59, struct.pack(">bB", sharps, int(key.minor)))
