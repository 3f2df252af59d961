"""The page's questions with their answers, asked once and kept: what a page that has no server is given."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from unrolled.errors import MissingExtra, NumericalFailure, UserError
from unrolled.inspection.inspect import SUMMARY
from unrolled.page.answers import Axis, Studio
from unrolled.page.beside import MOST as ABREAST
from unrolled.page.glass import Asked
from unrolled.serving.engine import Busy
from unrolled.training.run import Run

AXES: tuple[Axis, ...] = ("step", "seconds")
WINDOWS = (1, 5, 15, 51, 201)  # of smoothing: those of the page's knob
WIDTH, ABREAST_WIDTH = 300, 1800  # half of the points that a curve has at most; of several runs, all together
ROOM = 4_500_000  # bytes of all answers
SURE = 5  # digits of a probability
PICKS = 12  # held-out sequences at most, while there is room

Answer = dict[str, Any]


@dataclass
class Recording:
    """Answers by question. An entry answers a request to its `path` whose fields are those of `asked`; one with `by` holds
    a list of answers, of which the request's field of that name says the number.
    """

    room: int = ROOM
    entries: list[dict[str, Any]] = field(default_factory=list)

    def add(self, path: str, asked: Answer, make: Callable[[], Any], by: str = "") -> Any:
        """Asks and keeps what was answered, a refusal too; None where that was refused or is larger than what room there
        is.
        """
        entry: dict[str, Any] = {"path": path, "asked": asked} | ({"by": by} if by else {})
        try:
            found = entry["answer"] = make()
        except (UserError, MissingExtra, NumericalFailure, Busy) as error:
            found, entry["refused"] = None, str(error)
        size = len(inlined(entry)) + 1
        if size > self.room:
            return None
        self.room -= size
        self.entries.append(entry)
        return found


def inlined(value: Any) -> str:
    """JSON that a script element holds: ASCII, and nothing in it ends the element."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def record(studio: Studio, names: Sequence[str], say: Callable[[str], None]) -> Recording:
    """Everything that the page asks of these runs, as far as there is room: curves and samples of all, then what is inside
    one after the other. Of several runs no look but the summary: each takes a while, and the file of one run has them.

    Raises UserError for a run that isn't there.
    """
    recording = Recording()
    runs = [run for run, _ in studio.index.some(names)]
    listed = studio.runs()
    listed["runs"] = [row for row in listed["runs"] if row["name"] in names]
    recording.add("/api/runs", {}, lambda: listed)
    for run in runs:
        _told(recording, studio, run.name, min(WIDTH, ABREAST_WIDTH // len(runs)))
    if 2 <= len(runs) <= ABREAST:
        recording.add("/api/compare", {"runs": list(names)}, lambda: studio.compare(list(names)))
    for left, run in zip(range(len(runs), 0, -1), runs, strict=True):
        say(run.name)
        room, recording.room = recording.room, recording.room // left
        rest = room - recording.room
        _inside(recording, studio, run, say, every=len(runs) == 1)
        recording.room += rest
    return recording


def _told(recording: Recording, studio: Studio, name: str, width: int) -> None:
    recording.add("/api/samples", {"run": name}, partial(studio.samples, name))
    for x in AXES:
        for window in WINDOWS:
            asked = {"run": name, "x": x, "window": window}
            recording.add("/api/live", asked, partial(studio.live, name, x, width, window))


def _inside(recording: Recording, studio: Studio, run: Run, say: Callable[[str], None], every: bool) -> None:
    """A run's first passage, its looks, and further passages while there is room."""
    named = {"run": run.name}
    about = recording.add("/api/run", named, partial(studio.run, run.name)) or {"looks": []}
    opened = recording.add("/api/glass", named, partial(studio.glass.open, run)) or {}
    warm = opened.get("temperature", 1.0)  # where the page's knob begins
    if "ids" in opened:
        say("  the glass box")
        _passage(recording, studio, run, {"ids": opened["ids"]}, warm)
    picks: list[Any] = []
    if opened:
        kept = recording.add("/api/glass/samples", named, lambda: {"samples": studio.glass.samples(run)})
        picks = kept["samples"] if kept else []
    recording.add("/api/data", named, partial(studio.data, run.name))
    if about.get("tunes"):
        recording.add("/api/tunes", named, partial(studio.tunes, run.name))
    fit = int(bool(picks) and _passage(recording, studio, run, {"sample": 0}, warm))
    looks = [look for look in about["looks"] if every or look["name"] == SUMMARY]
    about["looks"].clear()
    for look in looks:
        say(f"  {look['name']}")
        what = look["name"]
        if recording.add("/api/look", named | {"what": what}, partial(studio.looks.look, run, what)):
            about["looks"].append(look)
    while fit and fit < min(PICKS, len(picks)) and _passage(recording, studio, run, {"sample": fit}, warm):
        fit += 1
    del picks[fit:]  # the list holds what can be opened


def _passage(recording: Recording, studio: Studio, run: Run, given: Answer, temperature: float) -> bool:
    """A reading, and of a model that writes what could come after each of its steps; both or neither."""
    room, many = recording.room, len(recording.entries)
    asked: Answer = {"run": run.name} | given
    reading = recording.add("/api/glass/read", asked, lambda: studio.glass.read(run, Asked(**asked)))
    if reading is not None and "surprise" in reading:
        ids = reading["ids"][1:]
        source = {"sample": given["sample"]} if "source" in reading else {}

        def odds() -> list[Answer]:
            steps = range(len(reading["ids"]))
            knob = source | {"ids": ids, "temperature": temperature}
            return [_odds(studio, run, knob | {"at": at}) for at in steps]

        found = recording.add("/api/glass/next", {"run": run.name, "ids": ids} | source, odds, "at")
        reading = None if found is None else reading
    if reading is None:
        recording.room = room
        del recording.entries[many:]
    return reading is not None


def _odds(studio: Studio, run: Run, asked: Answer) -> Answer:
    told = studio.glass.next(run, Asked(run=run.name, **asked))
    for token in told["tokens"]:
        token |= {"p": _short(token["p"]), "own": _short(token["own"])}
    return told


def _short(share: float) -> float:
    return float(f"{share:.{SURE}g}")
