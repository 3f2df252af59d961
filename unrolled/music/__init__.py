"""Music without a soundfont or a network: ABC notation in and out, bars counted, MIDI files and sound written.

Imports numpy and the standard library only.
"""

from unrolled.music.bars import Bar, Verdict, bars, check
from unrolled.music.files import MusicFiles, piano_roll, write_files
from unrolled.music.midi import midi_bytes
from unrolled.music.reading import parse
from unrolled.music.signatures import AbcError
from unrolled.music.synth import wav_bytes
from unrolled.music.tune import Tune
from unrolled.music.unfold import Performance, Sound, unfold
from unrolled.music.writing import write

__all__ = [
    "AbcError",
    "Bar",
    "MusicFiles",
    "Performance",
    "Sound",
    "Tune",
    "Verdict",
    "bars",
    "check",
    "midi_bytes",
    "parse",
    "piano_roll",
    "unfold",
    "wav_bytes",
    "write",
    "write_files",
]
