"""Of texts that should be tunes: how many can be read, how many have every bar of the right length, and the sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unrolled.errors import CheckFailed, RunFailed, UserError


@dataclass(frozen=True)
class TuneReport:
    """What a musician would ask of `count` tunes. `problems`: what is wrong with each, "" where nothing is."""

    count: int
    parsed: int
    bars_right: int  # tunes whose every bar has the right length, pick-ups allowed
    problems: tuple[str, ...] = ()

    @property
    def playable(self) -> list[int]:
        """The tunes whose every bar is right."""
        return [i for i, problem in enumerate(self.problems) if not problem]

    def __str__(self) -> str:
        return (
            f"{self.parsed} of {self.count} parsed, {self.bars_right} of {self.count} with every bar of the "
            "right length"
        )

    def require(self, parsed: float = 0.9, bars_right: float = 0.75) -> None:
        """Raises CheckFailed unless these shares of the tunes are good."""
        if self.parsed < parsed * self.count or self.bars_right < bars_right * self.count:
            first = next((problem for problem in self.problems if problem), "")
            raise CheckFailed(
                f"{self}; the check asks for {100 * parsed:.0f} % and {100 * bars_right:.0f} %. The first problem: "
                f"{first}. Train longer, or generate at a lower temperature."
            )


def tune_report(texts: Sequence[str]) -> TuneReport:
    """Reads each text as one tune in ABC notation."""
    from unrolled.music import check

    verdicts = [check(text) for text in texts]
    return TuneReport(
        len(verdicts),
        sum(verdict.parses for verdict in verdicts),
        sum(verdict.all_right for verdict in verdicts),
        tuple(verdict.reason for verdict in verdicts),
    )


def play(
    texts: Sequence[str], wav: str | Path | None = None, midi: str | Path | None = None
) -> tuple[int, list[str]]:
    """Writes the first of the texts whose bars are all right as sound, else the first that can be played.

    Returns its number and the files written. Raises RunFailed, and writes nothing, when none can be played; also
    when the disk refuses a file.
    """
    from unrolled.music import parse
    from unrolled.music.files import write_whole
    from unrolled.music.midi import midi_bytes
    from unrolled.music.synth import wav_bytes

    playable = set(tune_report(texts).playable)
    problem = "there are none"
    for number in sorted(range(len(texts)), key=lambda i: i not in playable):
        try:
            tune = parse(texts[number])
            contents = [
                (Path(path), write(tune))
                for path, write in ((wav, wav_bytes), (midi, midi_bytes))
                if path is not None
            ]
        except UserError as error:
            problem = str(error)
            continue
        for path, data in contents:
            write_whole(path, data)
        return number, [str(path) for path, _ in contents]
    raise RunFailed(
        f"none of the {len(texts)} tunes can be played: {problem} Generate more of them (count=16) or train longer."
    )
