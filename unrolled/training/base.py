"""What a run starts `from`: the weights of another run or of a pretrained model, under a head for its own task."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unrolled.errors import UserError, unknown
from unrolled.mixers.attention import Attention
from unrolled.mixers.positions import LearnedPositions
from unrolled.model import Model
from unrolled.model.weights import fingerprint, weights_of
from unrolled.tasks import Translate
from unrolled.training.run import Run, load
from unrolled.transfer.pretrained import NAMES, pretrained, tokenizer

if TYPE_CHECKING:
    from unrolled.model.spec import Spec


TABLE = "embedder.table.weight"


@dataclass(frozen=True)
class Base:
    """A model that is at hand, and the codec of what it reads."""

    name: str  # short, for folders and tables: a run's kind of model
    source: str  # as asked for
    model: Model
    codec: Any
    answers: Any  # the codec of what it writes or answers; None where it has no task
    known: bool  # a pretrained model of somebody else's

    @property
    def weights(self) -> int:
        """How many it has."""
        return sum(p.numel() for p in self.model.parameters())

    @property
    def facts(self) -> dict[str, Any]:
        """For data.json: a run goes on only from the very same weights."""
        return {"name": self.source, "sha256": fingerprint(self.model)}

    @property
    def looks_back(self) -> bool:
        """Whether its core is one of attention."""
        return any(isinstance(layer, Attention) for layer in self.model.core.modules())

    @property
    def longest(self) -> int | None:
        """The steps that it counts; None where it reads sequences of any length."""
        lengths = [layer.length for layer in self.model.core.modules() if isinstance(layer, LearnedPositions)]
        return min(lengths, default=None)

    @property
    def pool(self) -> str:
        """How its steps are summed up for one answer: as it did it; else what only looks back says most at its end."""
        own = [layer["reduce"] for layer in self.model.spec["core"]["layers"] if layer["kind"] == "pool"]
        return own[-1] if own else "last" if self.looks_back and not self.model.reach.future else "mean"

    def under(self, head: Spec, pool: str | None, stepwise: bool, codec: Any) -> Spec:
        """The spec of its embedder and core, for what `codec` reads, under another head."""
        spec = self.model.spec
        if "source" in spec:
            raise UserError(
                f"from={self.source}: it writes texts for texts, and can only go on with task=translate."
            )
        layers = [layer for layer in spec["core"]["layers"] if layer["kind"] != "pool"]
        width = self.model.core.width
        if not stepwise:
            layers.append({"kind": "pool", "width": width, "reduce": pool or self.pool})
        embedder = dict(spec["embedder"])
        if codec.to_dict() != self.codec.to_dict():
            if "vocabulary" not in embedder or not hasattr(codec, "token_text"):
                raise UserError(
                    f"codec={codec.kind} beside from={self.source}: it reads {self.codec.kind}, and only tokens can be "
                    "exchanged for other tokens. Leave codec= out."
                )
            embedder["vocabulary"] = codec.size
        return {"embedder": embedder, "core": {**spec["core"], "layers": layers}, "head": head}

    def going_on(self, codec: Any) -> Spec:
        """Its own spec, to go on with text that `codec` reads. Raises UserError where it writes none."""
        self.writes()
        spec = self.model.spec
        return {**spec, "embedder": {**spec["embedder"], "vocabulary": codec.size}}

    def writes(self) -> None:
        """Raises UserError where it doesn't go on with text."""
        if self.model.task is None or self.model.task.kind != "generate":
            raise UserError(
                f"from={self.source}: it doesn't go on with text, and the task is generate. Say columns with input= and "
                "target=, or task=."
            )

    def written(self, task: Any) -> Spec:
        """Its own spec, to write texts for texts as `task` has them. Raises UserError where it doesn't."""
        if not isinstance(self.model.task, Translate):
            raise UserError(f"from={self.source}: it has no source to read, and the task is {task.kind}.")
        return self.model.spec

    def suits(self, spec: Spec, task: Any) -> bool:
        """Whether it is, as it is, what a run of that spec and task begins with."""
        mine = self.model.task
        if spec != self.model.spec or mine is None or task.codec.to_dict() != self.codec.to_dict():
            return False
        return _same_answers(mine, task)

    @torch.no_grad()
    def give(self, model: Model, codec: Any) -> list[str]:
        """Copies what fits into a model of `under`, or of its own spec; returns the names of what stays as it was drawn.

        Another vocabulary: rows of tokens that both have, as both write them; the others begin at the mean of all, and the
        table counts as drawn.
        """
        own, theirs = weights_of(model), weights_of(self.model)
        other_words = codec.to_dict() != self.codec.to_dict()
        kept_head = self._same_head(model)
        drawn = []
        for name, weight in own.items():
            given = theirs.get(name)
            if name == TABLE and other_words:
                assert given is not None
                weight.copy_(rows_of(given, self.codec, codec))
                drawn.append(name)
            elif given is None or given.shape != weight.shape:
                drawn.append(name)
            elif not name.startswith("head."):
                weight.copy_(given)
            elif not kept_head:
                drawn.append(name)
            elif name in dict(model.named_parameters()):  # how classes weigh is the new task's
                weight.copy_(given)
        return drawn

    def _same_head(self, model: Model) -> bool:
        """Whether the head means the same: it says the same answers in the same order."""
        mine, other = self.model.task, model.task
        heads = [
            {key: value for key, value in each.spec["head"].items() if key not in ("weights", "smoothing")}
            for each in (self.model, model)
        ]
        return mine is not None and heads[0] == heads[1] and _same_answers(mine, other)


def _same_answers(one: Any, other: Any) -> bool:
    """Whether two tasks' heads say the same things in the same order, however often each was met."""
    told = [(task.answers if hasattr(task, "answers") else task.codec).to_dict() for task in (one, other)]
    plain = [{key: list(x) if key == "counts" else x for key, x in each.items()} for each in told]  # by name
    return bool(one.kind == other.kind and plain[0] == plain[1])


def rows_of(table: Tensor, theirs: Any, ours: Any) -> Tensor:
    """(our vocabulary, width): each token's row in their table, by the token's text; the mean row where they haven't it."""
    places = {theirs.token_text(token): token for token in range(theirs.size)}
    rows = table.mean(0).repeat(ours.size, 1)
    for token in range(ours.size):
        if (place := places.get(ours.token_text(token))) is not None:
            rows[token] = table[place]
    return rows


def base_of(source: str, runs: str | Path) -> Base:
    """The weights that `from=source` names: a run's folder or name, else a pretrained model's name, package or folder.

    Raises UserError that says what there is for anything else, NotAtHand (exit 4) for known weights not on this machine.
    """
    name = re.sub(r"[^A-Za-z0-9_]+", "_", Path(source).name or source).strip("_")[:32] or "base"
    if (made := run_of(source, runs)) is not None:
        model = load(made, runs)
        if model.task is None:
            raise UserError(f"from={source}: it has no task, so nothing says what it reads.")
        answers = getattr(model.task, "answers", None)
        kind = name if isinstance(made, Path) else Run.open(made, runs).kind
        return Base(kind, source, model, model.task.codec, answers, known=False)
    model = pretrained(source)
    codec = tokenizer(source) if model.task is None else model.task.codec
    return Base(name, source, model, codec, getattr(model.task, "answers", None), known=True)


def run_of(source: str, runs: str | Path) -> str | Path | None:
    """The run or the portable model that a source names; None where it names neither."""
    path = Path(source).expanduser()
    if (path / "codec.json").is_file():
        return path
    if (path / "config.json").is_file() or path.is_file() or source.lower() in NAMES:
        return None
    try:
        Run.open(source, runs)
    except UserError:
        if source.startswith("@") or (Path(runs) / source).is_dir():
            raise
        _known_or_raise(source, runs)
        return None
    return source


def _known_or_raise(source: str, runs: str | Path) -> None:
    """Raises UserError with both lists, unless it may be a package or a repository of a hub."""
    from importlib.util import find_spec

    bare = source.replace("-", "_")
    if "/" in source or (bare.isidentifier() and find_spec(bare)) or _distributed(source):
        return
    there = [run.name for run in Run.all(runs)]
    raise unknown("run or pretrained model:", source, [*NAMES, *there[-10:]])


def _distributed(package: str) -> bool:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        return bool(distribution(package))
    except (PackageNotFoundError, ValueError):
        return False
