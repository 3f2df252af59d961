"""A tune's three files and what the report page needs to draw and play it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unrolled import durable
from unrolled.errors import RunFailed
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

    Raises AbcError or UserError before anything is written when the text can't be played, RunFailed when the disk
    is full or refuses.
    """
    tune = parse(abc)
    contents = {"abc": abc.encode(), "mid": midi_bytes(tune), "wav": wav_bytes(tune)}
    paths = {suffix: Path(folder) / f"{stem}.{suffix}" for suffix in contents}
    for suffix, data in contents.items():
        write_whole(paths[suffix], data)
    return MusicFiles(paths["abc"], paths["mid"], paths["wav"])


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file whole or leaves it as it was; its folder is made. Raises RunFailed when the disk refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.replace(path, data)
    except OSError as error:
        raise RunFailed(
            f"{path}: can't be written ({error.strerror}). Free some space or name another file."
        ) from error


def piano_roll(tune: Tune) -> list[list[float]]:
    """`[start in seconds, duration in seconds, MIDI pitch]` of every note as played, ready for JSON."""
    return [[round(s.start_seconds, 3), round(s.seconds, 3), s.midi] for s in unfold(tune).sounds]
