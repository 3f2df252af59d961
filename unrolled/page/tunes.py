"""The tunes that a run wrote, as notes to see and to play, and what the page needs to sound like our WAV files."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from unrolled.errors import UserError
from unrolled.music import check, parse, synth, unfold
from unrolled.page.about import written
from unrolled.training.run import Run

TUNES = 24  # the latest that a run wrote
SECONDS = 180  # of sound; longer ones are only shown


def tunes(run: Run) -> dict[str, Any]:
    """What it wrote after its evaluations, the latest first: each text with its notes as played (start and length in
    seconds, MIDI pitch, velocity), and whether its bars add up; where it can't be played, why not.
    """
    found = [{"step": one["step"], **heard(one["text"])} for one in reversed(written(run)[-TUNES:])]
    return {"tunes": found, "flute": flute()}


def heard(text: str) -> dict[str, Any]:
    """A text in ABC notation as notes; `problem` where it has none to play."""
    told: dict[str, Any] = {"abc": text, "notes": [], "seconds": 0.0, "problem": "", "verdict": ""}
    try:
        played = unfold(parse(text))
    except UserError as error:
        return told | {"problem": str(error)}
    if not played.sounds:
        return told | {"problem": "it has no notes."}
    if played.seconds > SECONDS:
        return told | {"problem": f"it lasts {played.seconds:.0f} s; up to {SECONDS} are played here."}
    verdict = check(text)
    notes = [[round(s.start_seconds, 5), round(s.seconds, 5), s.midi, s.velocity] for s in played.sounds]
    return told | {
        "notes": notes,
        "seconds": played.seconds,
        "verdict": verdict.reason,
        "right": verdict.all_right,
    }


def flute() -> dict[str, Any]:
    """The numbers of `music.synth`, and its room as 16-bit numbers: the page computes the same samples from them."""
    room = synth.room()
    scale = float(np.abs(room).max()) / 32_767
    packed = base64.b64encode(np.round(room / scale).astype("<i2").tobytes()).decode("ascii")
    return {
        "rate": synth.RATE, "peak": synth.PEAK, "partials": list(synth.PARTIALS), "attack": synth.ATTACK,
        "release": synth.RELEASE, "vibrato": [synth.VIBRATO_HZ, synth.VIBRATO_CENTS, synth.VIBRATO_ONSET],
        "share": synth.ROOM_SHARE, "tail": synth.TAIL, "room": {"scale": scale, "steps": len(room), "data": packed},
    }  # fmt: skip
