"""`compare`: models of one size on one split under one budget, trained in turns, with intervals and honest words."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from unrolled.comparison import result
from unrolled.comparison.board import Board
from unrolled.comparison.heat import Entry, OnSlice, Racer, open_session, run_heat
from unrolled.comparison.members import MODELS, OPPONENT, Shape, common_size, field_of, matched
from unrolled.comparison.result import Comparison
from unrolled.comparison.summary import summarise
from unrolled.errors import UserError
from unrolled.training.baselines import strong
from unrolled.training.budget import Budget, Plan, pretty_seconds
from unrolled.training.corpus import Corpus, prepare
from unrolled.training.device import choose_device
from unrolled.training.folder import Lock, make, make_at
from unrolled.training.interrupt import Interrupted, Interrupts
from unrolled.training.recipe import Recipe
from unrolled.training.run import Run


@dataclass(frozen=True)
class Asked:
    """What was asked for; kept in comparison.json, so that a resumed race is the same race."""

    data: str
    models: tuple[str, ...]
    budget: str
    seeds: int
    seed: int
    parameters: int | None
    codec: str
    split: tuple[float, float, float] | None
    device: str
    dtype: str
    threads: int | None

    def recipe(self, shape: Shape, seed: int, folder: Path) -> Recipe:
        """One member's recipe: its size is the common one, the rest its kind's defaults."""
        return Recipe.of(
            data=self.data, budget=self.budget, seed=seed, codec=self.codec, split=self.split, device=self.device,
            dtype=self.dtype, threads=self.threads, runs=str(folder), model={"kind": shape.kind, **shape.choice},
        )  # fmt: skip


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
    runs: str = "runs",
    out: str | None = None,
    resume: str | None = None,
    report: bool = True,
    board: Board | None = None,
    on_slice: OnSlice | None = None,
) -> Comparison:
    """Races models of one size (within 5 %) on one split, each with its own `budget` and its kind's other defaults.

    The fixed-window network and the best n-gram always stand in the table. `seeds` heats, beginning at `seed`;
    `parameters`: the common number of weights; `resume`: the folder of a race that was stopped; `on_slice` is called
    after each turn. Raises UserError for bad keys or data, Interrupted when stopped (everything is saved).
    """
    board = board or Board()
    with Interrupts() as interrupts:
        if resume is not None:
            race = Race.resume(_folder(resume, runs), board)
        else:
            names = tuple(models.split(",") if isinstance(models, str) else models)
            budget = _repeated(budget, runs)
            asked = Asked(
                data, names, budget, seeds, seed, parameters, codec, split, device, dtype, threads
            )  # fmt: skip
            race = Race.begin(asked, runs, out, board)
        with race:
            comparison = race.run(interrupts, on_slice)
    if report:
        from unrolled.comparison.report import write_comparison

        write_comparison(comparison)
    return comparison


class Race:
    """The folder of a race, its members and how far they are. A context manager: it frees the folder's lock."""

    def __init__(
        self, asked: Asked, folder: Path, corpus: Corpus, board: Board, entries: list[Entry]
    ) -> None:
        self.asked, self.folder, self.corpus, self.board = asked, folder, corpus, board
        self.entries = entries
        self.size, self.reason = (
            common_size(corpus.codec.size) if asked.parameters is None else (asked.parameters, "as asked")
        )
        self.shapes = {
            k: matched(k, corpus.codec.size, self.size) for k in dict.fromkeys(e.kind for e in entries)
        }
        self._lock: Lock | None = None

    @classmethod
    def begin(cls, asked: Asked, runs: str, out: str | None, board: Board) -> Race:
        """A new folder, gone again if nothing can begin. Raises UserError for bad keys or data."""
        kinds = _checked(asked)
        folder = make_at(Path(out)) if out else make(Path(runs), f"compare-{_stem(asked.data)}")
        try:
            corpus = prepare(asked.data, asked.codec, asked.split, folder)
            entries = [
                Entry(kind, seed) for seed in range(asked.seed, asked.seed + asked.seeds) for kind in kinds
            ]
            race = cls(asked, folder, corpus, board, entries)
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
            values = kept["asked"]
            asked = Asked(
                **values
                | {
                    "models": tuple(values["models"]),
                    "split": tuple(values["split"]) if values["split"] else None,
                }
            )
            corpus = prepare(asked.data, asked.codec, asked.split, folder)
            if corpus.facts["files"] != kept["files"]:
                raise UserError(
                    f"{folder}: the data has changed since this comparison began. Restore it, or begin another one."
                )
            race = cls(asked, folder, corpus, board, [Entry(**entry) for entry in kept["entries"]])
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
                "command": command_of(self.asked),
                "files": self.corpus.facts["files"],
                "entries": [asdict(entry) for entry in self.entries],
                "result": None if comparison is None else comparison.to_dict(),
            },
        )

    def announce(self) -> None:
        """What is about to happen, before the first step."""
        asked, corpus, say = self.asked, self.corpus, self.board.say
        say(
            f"data      {corpus.name}: {corpus.train.documents} training documents, {corpus.test.documents} held out "
            f"for the test ({corpus.codec.kind}, {corpus.codec.size} tokens)"
        )
        for line in corpus.notes:
            say(f"          {line}")
        say(f"size      {self.size:,} weights each, {self.reason}")
        for shape in self.shapes.values():
            keys = " ".join(f"{key}={value}" for key, value in shape.choice.items())
            say(f"          {shape.kind:<12}{shape.parameters:>10,}  {keys}")
        amount = Budget.parse(asked.budget)
        whole = (
            f", about {pretty_seconds(amount.amount * len(self.entries))} of training"
            if amount.unit == "seconds"
            else ""
        )
        say(
            f"race      {len(self.shapes)} models x {asked.seeds} seeds x {asked.budget}, in turns of a second{whole}"
        )
        baseline = strong(corpus)
        say(f"baseline  {baseline['name']}: {baseline['bits_per_character']:.4f} bits per character")
        say(f"folder    {self.folder}")

    def run(self, interrupts: Interrupts, on_slice: OnSlice | None) -> Comparison:
        """All heats, then the table. Raises Interrupted with the command that goes on."""
        try:
            for seed in dict.fromkeys(entry.seed for entry in self.entries):
                self._heat(seed, interrupts, on_slice)
        except Interrupted as stop:
            self.save()
            raise Interrupted(
                f"{stop} Go on with: unrolled compare resume={self.folder}", stop.exit_code - 128
            ) from None
        device = choose_device(self.asked.device, lambda line: None)
        asked = self.asked
        comparison = summarise(
            self.folder, self.corpus, self.entries, asked.budget, self.size, command_of(asked), device
        )
        self.save(comparison)
        return comparison

    def _heat(self, seed: int, interrupts: Interrupts, on_slice: OnSlice | None) -> None:
        waiting = [entry for entry in self.entries if entry.seed == seed and not entry.over]
        self.board.heat = f"seed={seed}"
        with ExitStack() as held:
            racers = []
            for entry in waiting:
                shape, lane = self.shapes[entry.kind], self.board.lane(entry.kind)
                recipe = self.asked.recipe(shape, seed, self.folder)
                session = held.enter_context(open_session(self.folder, entry, recipe, shape, lane))
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


def command_of(asked: Asked) -> str:
    """The command that repeats the race: only what differs from the defaults."""
    plain = {
        "data": "irish", "models": MODELS, "budget": "1m", "seeds": 1, "seed": 0, "parameters": None, "codec": "auto",
        "split": None, "device": "auto", "dtype": "auto", "threads": None,
    }  # fmt: skip
    words = []
    for key, value in asdict(asked).items():
        if value != plain[key] or key in ("data", "budget"):
            shown = ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
            words.append(shlex.quote(f"{key}={shown}"))
    return " ".join(["unrolled compare", *words])


def _checked(asked: Asked) -> list[str]:
    """The kinds that race. Raises UserError for what can't be raced."""
    if not set(asked.models) - {OPPONENT}:
        raise UserError(f"models={','.join(asked.models)}: name at least one beside {OPPONENT}.")
    if asked.seeds < 1:
        raise UserError(f"seeds={asked.seeds}: at least 1.")
    if asked.budget == "auto" or asked.budget.startswith("+"):
        raise UserError(
            f"budget={asked.budget}: a comparison needs one fixed budget, such as 1m, 2000steps or 5Mtok."
        )
    Budget.parse(asked.budget)
    return field_of(asked.models)


def _stem(data: str) -> str:
    from unrolled.datasets import samples
    from unrolled.training.corpus import name_of

    return name_of(data, samples.resolve(data))


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
