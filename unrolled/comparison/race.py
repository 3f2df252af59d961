"""`compare`: models of one size on one split under one budget, trained in turns, with intervals and honest words."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from unrolled.comparison import result
from unrolled.comparison.asked import Asked
from unrolled.comparison.board import Board
from unrolled.comparison.heat import Entry, OnSlice, Racer, open_session, run_heat
from unrolled.comparison.members import MODELS, Sizes
from unrolled.comparison.result import Comparison
from unrolled.comparison.summary import summarise
from unrolled.datasets import samples
from unrolled.errors import UserError
from unrolled.training.budget import Budget, Plan, pretty_seconds
from unrolled.training.corpus import name_of
from unrolled.training.device import choose_device
from unrolled.training.folder import Lock, make, make_at
from unrolled.training.interrupt import Interrupted, Interrupts
from unrolled.training.material import Material
from unrolled.training.run import Run
from unrolled.training.setup import material_of


def compare(
    data: str = "irish",
    models: Sequence[str] | str = MODELS,
    budget: str = "1m",
    seeds: int = 1,
    *,
    seed: int = 0,
    parameters: int | None = None,
    codec: str = "auto",
    split: tuple[float, float, float] | None = None,
    device: str = "auto",
    dtype: str = "auto",
    threads: int | None = None,
    task: str = "auto",
    input: str | None = None,  # noqa: A002 - the key's name everywhere
    target: str | None = None,
    group: str | None = "auto",
    held: str | None = None,
    id: str | None = "auto",  # noqa: A002 - the key's name everywhere
    time: str | None = None,
    shuffled: bool = False,
    vectors: str | None = None,
    augment: str | None = None,
    smoothing: float | None = None,
    weights: str = "none",
    threshold: float | str | None = None,
    runs: str = "runs",
    out: str | None = None,
    resume: str | None = None,
    report: bool = True,
    stem: str = "compare",
    board: Board | None = None,
    on_slice: OnSlice | None = None,
) -> Comparison:
    """Races models of one size (within 5 %) on one split, each with its own `budget` and its kind's other defaults.

    On text the fixed-window network and the best n-gram always stand in the table; on rows with answers `bag`, which
    is blind to order, and the simple rivals do. `seeds` heats, beginning at `seed`; `parameters`: the common number of
    weights; `task` to `threshold`: how a table is read and learnt, as in `train`; `resume`: the folder of a race that
    was stopped; `stem`: how the new folder's name begins; `on_slice` is called after each turn. Afterwards `@last` is
    the race's best run. Raises UserError for bad keys or data, Interrupted when stopped (everything is saved).
    """
    board = board or Board()
    with Interrupts() as interrupts:
        names = tuple(models.split(",") if isinstance(models, str) else models)
        asked = Asked(
            data, names, budget, seeds, seed, parameters, codec, split, device, dtype, threads, task, input, target, group,
            held, id, time, shuffled, vectors, augment, smoothing, weights, threshold,
        )  # fmt: skip
        if resume is None:
            asked = replace(asked, budget=_repeated(budget, runs))
            race = Race.begin(asked, runs, out, board, stem)
        else:
            if changed := asked.changed() + (["out"] if out else []):
                raise UserError(
                    f"resume={resume}: a race keeps the keys that it began with, got {', '.join(changed)}. "
                    "Leave them out, or begin another race: leave resume= out."
                )
            race = Race.resume(_folder(resume, runs), board)
        with race:
            comparison = race.run(interrupts, on_slice)
    if report:
        from unrolled.comparison.report import write_comparison

        write_comparison(comparison)
    comparison.make_last()
    return comparison


class Race:
    """The folder of a race, its members and how far they are. A context manager: it frees the folder's lock."""

    def __init__(
        self, asked: Asked, folder: Path, material: Material, board: Board, entries: list[Entry], started: str
    ) -> None:
        self.asked, self.folder, self.material, self.board = asked, folder, material, board
        self.entries, self.started = entries, started
        kinds = list(dict.fromkeys(entry.kind for entry in entries))
        sizes = Sizes(material, asked.open_recipe(folder))
        self.size, self.reason = (
            sizes.common() if asked.parameters is None else (asked.parameters, "as asked")
        )
        self.shapes = {kind: sizes.matched(kind, self.size) for kind in kinds}
        self.rivals = (
            material.rivals()
        )  # before anybody trains: data that can't be compared on is told at once
        self._lock: Lock | None = None

    @classmethod
    def begin(cls, asked: Asked, runs: str, out: str | None, board: Board, stem: str = "compare") -> Race:
        """A new folder, gone again if nothing can begin. Raises UserError for bad keys or data."""
        kinds = asked.kinds()
        name = f"{stem}-{name_of(asked.data, samples.resolve(asked.data))}"
        folder = make_at(Path(out)) if out else make(Path(runs), name)
        try:
            material = material_of(asked.open_recipe(folder), board)
            entries = [
                Entry(kind, seed) for seed in range(asked.seed, asked.seed + asked.seeds) for kind in kinds
            ]
            race = cls(asked, folder, material, board, entries, datetime.now(UTC).isoformat())
            race.save()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        race._lock = Lock(folder)
        race.announce()
        return race

    @classmethod
    def resume(cls, folder: Path, board: Board) -> Race:
        """Where a stopped race stood. Raises UserError when the data has changed, RunFailed when it still runs."""
        kept = result.read(folder)
        lock = Lock(folder)
        try:
            asked = Asked.of(kept["asked"])
            material = material_of(asked.open_recipe(folder), board)
            if material.facts["files"] != kept["files"]:
                raise UserError(
                    f"{folder}: the data has changed since this comparison began. Restore it, or begin another one."
                )
            entries = [Entry(**entry) for entry in kept["entries"]]
            race = cls(asked, folder, material, board, entries, kept.get("started", ""))
        except BaseException:
            lock.release()
            raise
        race._lock = lock
        done = sum(entry.over for entry in race.entries)
        board.say(f"resume    {folder}: {done} of {len(race.entries)} members have arrived")
        return race

    def __enter__(self) -> Race:
        return self

    def __exit__(self, *_: object) -> None:
        self.board.close()
        if self._lock is not None:
            self._lock.release()

    def save(self, comparison: Comparison | None = None) -> None:
        """comparison.json as the race stands."""
        result.save(
            self.folder,
            {
                "asked": asdict(self.asked),
                "command": self.asked.command(),
                "started": self.started,
                "files": self.material.facts["files"],
                "entries": [asdict(entry) for entry in self.entries],
                "result": None if comparison is None else comparison.to_dict(),
            },
        )

    def announce(self) -> None:
        """What is about to happen, before the first step."""
        asked, material, baseline, say = self.asked, self.material, self.rivals[0].score, self.board.say
        say(f"data      {material.name}: {material.amounts()}")
        for line in material.notes:
            say(f"          {line}")
        for choice in material.chosen:
            say(f"chosen    {choice.key}={choice.value}  ({choice.reason})")
        say(f"size      {self.size:,} weights each, {self.reason}")
        for shape in self.shapes.values():
            keys = " ".join(f"{key}={value}" for key, value in shape.choice.items())
            far = "" if shape.near(self.size) else "  (no width of its vectors comes nearer)"
            say(f"          {shape.kind:<12}{shape.parameters:>10,}  {keys}{far}")
        amount = Budget.parse(asked.budget)
        whole = (
            f", about {pretty_seconds(amount.amount * len(self.entries))} of training"
            if amount.unit == "seconds"
            else ""
        )
        say(
            f"race      {len(self.shapes)} models x {asked.seeds} seeds x {asked.budget}, in turns of a second{whole}"
        )
        say(f"baseline  {baseline['name']}: {baseline['value']:.4f} {baseline['unit']}")
        say(f"folder    {self.folder}")

    def run(self, interrupts: Interrupts, on_slice: OnSlice | None) -> Comparison:
        """All heats, then the table. Raises Interrupted with the command that goes on."""
        comparison = None
        try:
            for seed in dict.fromkeys(entry.seed for entry in self.entries):
                self._heat(seed, interrupts, on_slice)
                _heed(interrupts)
            device = choose_device(self.asked.device, lambda line: None)
            comparison = summarise(
                self.folder, self.material, self.rivals, self.entries, self.asked, self.size, device
            )
            self.save(comparison)
            _heed(interrupts)
        except Interrupted as stop:
            self.save(comparison)
            command = f"unrolled compare resume={shlex.quote(str(self.folder))}"
            raise Interrupted(f"{stop} Go on with: {command}", stop.exit_code - 128) from None
        return comparison

    def _heat(self, seed: int, interrupts: Interrupts, on_slice: OnSlice | None) -> None:
        waiting = [entry for entry in self.entries if entry.seed == seed and not entry.over]
        self.board.heat = f"seed={seed}"
        with ExitStack() as held:
            racers = []
            for entry in waiting:
                shape, lane = self.shapes[entry.kind], self.board.lane(entry.kind)
                recipe = self.asked.recipe(shape, seed, self.folder)
                session = held.enter_context(
                    open_session(self.folder, entry, recipe, shape, self.material, lane, self.started)
                )
                racers.append(Racer(entry, session, lane))
                self.save()
            run_heat(racers, interrupts, self.board, on_slice, self.save)
        self.board.cleared()


def _repeated(budget: str, runs: str) -> str:
    """`@RUN` as the steps of that run: of all members the same number, whoever counted them first."""
    if not budget.startswith("@"):
        return budget
    run = Run.open(budget, runs)
    return f"{Plan(**(run.plan or {})).repeated(run.name).total}steps"


def _heed(interrupts: Interrupts) -> None:
    """Raises Interrupted for a Ctrl-C that came while nobody trained."""
    if interrupts.asked is not None:
        raise Interrupted("stopped, everything is saved.", interrupts.asked)


def _folder(name: str, runs: str) -> Path:
    """The folder of a comparison: a path, or its name under `runs`."""
    for path in (Path(runs) / name, Path(name)):
        if (path / result.FILE).is_file():
            return path
    there = sorted(path.parent.name for path in Path(runs).glob(f"*/{result.FILE}"))
    raise UserError(
        f"resume={name}: no comparison is called that. In {runs}: {', '.join(there) or 'none'}. "
        "A single run goes on with: unrolled train resume=RUN"
    )
