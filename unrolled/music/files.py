"""A tune's three files and what the report page needs to draw and play it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from unrolled.music.midi import midi_bytes
from unrolled.music.reading import parse
from unrolled.music.synth import wav_bytes
from unrolled.music.tune import Tune
from unrolled.music.unfold import unfold


@dataclass(frozen=True, slots=True)
class MusicFiles:
    """Where the tune's text, MIDI file and sound were written."""

    abc: Path
    midi: Path
    wav: Path


def write_files(abc: str, folder: str | Path, stem: str = "tune") -> MusicFiles:
    """Write `stem`.abc (the text as given), .mid and .wav into `folder`, which is made when missing.

    Raises AbcError or UserError before anything is written when the text can't be played.
    """
    tune = parse(abc)
    contents = {"abc": abc.encode(), "mid": midi_bytes(tune), "wav": wav_bytes(tune)}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for suffix, data in contents.items():
        paths[suffix] = folder / f"{stem}.{suffix}"
        unfinished = folder / f".tmp-{os.getpid()}-{stem}.{suffix}"
        try:
            unfinished.write_bytes(data)
            os.replace(unfinished, paths[suffix])
        finally:
            unfinished.unlink(missing_ok=True)
    return MusicFiles(paths["abc"], paths["mid"], paths["wav"])


def piano_roll(tune: Tune) -> list[list[float]]:
    """`[start in seconds, duration in seconds, MIDI pitch]` of every note as played, ready for JSON."""
    return [[round(s.start_seconds, 3), round(s.seconds, 3), s.midi] for s in unfold(tune).sounds]
