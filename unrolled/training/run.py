"""The run folder, and the names by which every verb finds one: `@last`, `@best`, a name, a unique prefix, a path.

runs/lstm-irish-3/   config.toml  command.txt  env.json  data.json  result.json  metrics.jsonl
                     samples/  checkpoints/step-000500/  model/ (portable)
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.config import resolve
from unrolled.errors import UserError, nearest
from unrolled.training.portable import load_model
from unrolled.training.progress import aloud
from unrolled.training.recipe import Recipe

if TYPE_CHECKING:
    from unrolled.model import Model
    from unrolled.running.generate import Generated
    from unrolled.tasks import Score
    from unrolled.tasks.scored import Scored


@dataclass(frozen=True)
class Run:
    """One run as its folder tells it. `test`, `valid`, `baseline` are scores as plain dicts, None until they are known.

    Written by `train`; open one with `Run.open("@last")`. Nothing here writes to the folder.
    """

    path: Path
    name: str
    kind: str
    data: str
    finished: bool
    step: int
    seconds: float  # of optimizer steps
    parameters: int
    valid: dict[str, Any] | None = None
    test: dict[str, Any] | None = None
    baseline: dict[str, Any] | None = None
    naive: dict[str, Any] | None = None
    verdict: str = ""
    plan: dict[str, Any] | None = None
    started: str = ""  # UTC
    extends: str = ""  # the run that this one goes on from
    before: dict[str, Any] | None = None  # test score before it trained, of what starts from other weights
    work: dict[str, float] | None = None  # of one step: tokens (targets), floating point operations

    @classmethod
    def at(cls, path: Path) -> Run:
        """The run in this very folder. Raises UserError when it holds none."""
        file = path / "result.json"
        known = {entry.name for entry in fields(cls)} - {"path", "name"}
        try:
            kept = dict(json.loads(file.read_bytes()))
            return cls(path=path, name=path.name, **{k: v for k, v in kept.items() if k in known})
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"{path}: not a run folder ({file} isn't a run's result: {error}). See: unrolled runs"
            ) from error

    @classmethod
    def open(cls, name: str = "@last", runs: str | Path = "runs") -> Run:
        """The run called `name`: @last (latest begun), @best (best test score on the data of @last), a name or unique
        prefix of one, or a path. Raises UserError that lists what there is.
        """
        if name in ("@last", "@best"):
            return _last_or_best(name, Path(runs))
        bare = name.removeprefix("@")
        for path in (Path(runs) / bare, Path(bare).expanduser()):
            if (path / "result.json").is_file():
                return cls.at(path)
        names = [run.name for run in cls.all(runs)]
        if name.startswith("@") and (meant := nearest(name, ["@last", "@best"])):
            raise UserError(f"no run is called {name!r}. Did you mean {meant}?")
        matches = [n for n in names if n.startswith(bare)] if bare else []
        if len(matches) == 1:
            return cls.at(Path(runs) / matches[0])
        if matches:
            raise UserError(f"run {name!r} could be any of {', '.join(matches)}. Write more of the name.")
        guess = nearest(bare, names)
        hint = f" Did you mean {guess!r}?" if guess else ""
        there = (
            f"Runs in {runs}: {', '.join(names[-10:])}."
            if names
            else f"There are no runs in {runs}; begin with: unrolled train"
        )
        raise UserError(f"no run is called {name!r}.{hint} {there}")

    @classmethod
    def all(cls, runs: str | Path = "runs") -> list[Run]:
        """Every run under the folder, oldest first; a comparison's members as `compare-irish-1/lstm-irish-1`.

        What isn't a run is passed over aloud.
        """
        root = Path(runs)
        paths = [p.parent for pattern in ("*/result.json", "*/*/result.json") for p in root.glob(pattern)]
        found = []
        for path in sorted(paths):
            try:
                found.append(replace(cls.at(path), name=path.relative_to(root).as_posix()))
            except UserError as error:
                aloud(f"passed over: {error}")
        return sorted(found, key=lambda run: (run.started, run.path.stat().st_mtime_ns, run.name))

    @property
    def score(self) -> float | None:
        """The value on the test split, else the best on the validation split; `better` says which way it counts."""
        known = self.test or self.valid
        return None if known is None else float(known["value"])

    @property
    def unit(self) -> str:
        """What `score` is, in words; "" where there is none yet."""
        return str((self.test or self.valid or {}).get("unit", ""))

    @property
    def better(self) -> str:
        """Whether the `lower` or the `higher` score is the better one."""
        return str((self.test or self.valid or {}).get("better", "lower"))

    @property
    def recipe(self) -> Recipe:
        """The recipe as it was resolved when the run began. Raises UserError that names the damaged line."""
        return resolve(Recipe, files=[self.path / "config.toml"], environ={}).value

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line that is being written is left out."""
        lines = (self.path / "metrics.jsonl").read_bytes().split(b"\n")
        return [json.loads(line) for line in lines[:-1]]

    def model(self, device: str = "cpu") -> Model:
        """The best model of the run so far, with its task and codec."""
        return load_model(self.path / "model").to(device)

    def evaluate(self, split: str = "test", **options: Any) -> Score | Scored:
        """The score on a split. See `unrolled.training.evaluate`."""
        from unrolled.training.evaluate import evaluate

        return evaluate(self, split, **options)

    def generate(self, prompt: str = "", **options: Any) -> Generated:
        """Text written by the run's model. See `unrolled.running.generate`."""
        from unrolled.running.generate import generate

        return generate(self.model(), prompt, **options)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from unrolled.training.display import shown

        return shown(self)


def _last_or_best(name: str, runs: Path) -> Run:
    known = Run.all(runs)
    if not known:
        raise UserError(f"{name}: there are no runs in {runs}. Begin with: unrolled train")
    if name == "@last":
        return known[-1]
    same = [run for run in known if run.data == known[-1].data and run.score is not None]
    same = [run for run in same if run.unit == same[-1].unit]  # one table may be asked for several columns
    tested = [run for run in same if run.test is not None] or same
    if not tested:
        raise UserError(
            f"@best: no run on {known[-1].data!r} in {runs} has a score yet. @last is {known[-1].name}."
        )
    best = max if tested[-1].better == "higher" else min
    return best(tested, key=lambda run: run.score or 0.0)


def located(name: str | Path = "@last", runs: str | Path = "runs") -> Path:
    """Where what `load` would load stands: a run's folder, or a portable model's."""
    return Path(name) if (Path(name) / "model.safetensors").is_file() else Run.open(str(name), runs).path


def load(name: str | Path = "@last", runs: str | Path = "runs") -> Model:
    """The model of a run (any name that `Run.open` knows) or of a portable model folder, with its task attached."""
    if (Path(name) / "model.safetensors").is_file():
        return load_model(Path(name))
    return Run.open(str(name), runs).model()
