"""The one dataclass that describes a run. Light to import: no torch, so that `--help` and `--check` are quick.

`None` means "the defaults of this kind of model and data": `defaults.fill` chooses and says why.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from unrolled.config.keys import key_of, out_of_range
from unrolled.config.resolve import resolve
from unrolled.datasets.understand import Asked
from unrolled.errors import UserError
from unrolled.training.budget import Budget


def _key(help: str, default: Any = None, **more: Any) -> Any:
    return field(default=default, metadata={"help": help, **more})


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """Which model. `model=lstm` is short for `model.kind=lstm`."""

    kind: str = _key(
        "rnn, lstm, gru, mingru, conv, transformer, window; for answers also bilstm, bigru, encoder, bag; for forecasts "
        "dlinear, nlinear; or auto",
        "auto",
    )
    width: int | None = _key("units of a layer", at_least=1)
    layers: int | None = _key("layers (Transformer: blocks)", at_least=1)
    heads: int | None = _key("attention heads", at_least=1)
    hidden: int | None = _key("units inside a feed-forward, where the kind has one", at_least=1)
    dropout: float | None = _key(
        "share of activations dropped between layers while training", at_least=0.0, below=1.0
    )
    embedding: int | None = _key("width of the token vectors, where the kind lets it differ", at_least=1)
    tied: bool | None = _key("the output layer shares the embedding's weights")
    pool: Literal["last", "mean", "max", "attention"] | None = _key(
        "how the steps of a sequence are summed up for one answer"
    )
    attention: Literal["none", "dot", "scaled", "general", "additive", "recurrent"] | None = _key(
        "how a target looks back at its source; none = all it knows of it is one vector"
    )
    reader: str | None = _key("of a source: the kind of model that reads it, where it isn't the target's")
    patch: int | None = _key(
        "of a forecast: steps that make one token; 1 = each step is one, and it streams", at_least=1
    )
    weight_drop: float | None = _key(
        "share of recurrent weights dropped while training", at_least=0.0, below=1.0
    )


Way = Literal["auto", "head", "full", "gradual", "lora", "scratch"]


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How a run goes on with the weights that it starts `from`. `tune=lora` is short for `tune.how=lora`."""

    how: Way = _key(
        "head (the rest stands still, read once), full, gradual (from the top, a layer more each pass), lora, or scratch "
        "(its shape alone, weights drawn anew)",
        "auto",
    )
    rank: int = _key("of lora: how many directions a weight may change in", 4, at_least=1)
    scale: float = _key("of lora: what a change is multiplied by, times 1/rank", 8.0, above=0.0)
    weights: str | None = _key("of lora: which weights may change, as a pattern in their names", None)
    decay: float | None = _key("a layer's learning rate as a share of the rate of the one above", above=0.0)
    freeze: str | None = _key("which weights stay as they are, as a pattern in their names", None)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything a run depends on, beside the data itself and the version of the code."""

    data: str = _key("a shipped set (irish), a file, a folder or a glob", "irish")
    model: ModelChoice = field(default=ModelChoice(), metadata={"help": "which model", "shorthand": "kind"})
    from_: str | None = _key(
        "what it starts from: a run, or a pretrained model by its name, package or folder", None
    )
    tune: Tuning = field(
        default=Tuning(), metadata={"help": "how it goes on with what it starts from", "shorthand": "how"}
    )
    task: Literal["auto", "generate", "classify", "tag", "regress", "translate", "transcribe", "forecast"] = (
        _key("what to learn from the data", "auto")
    )
    input: str | None = _key("the column of a table that is read, or several: text,age,country")
    target: str | None = _key("the column of a table that is to be foretold, or several numbers: x,y")
    group: str | None = _key(
        "a column whose values (speakers, patients) each stay in one part of the split; none = row by row",
        "auto",
    )
    held: str | None = _key("the groups that are the test, as in held=theo,nicolas")
    id: str | None = _key(
        "a column that names the sequence of which a row is a step; none = a row is one", "auto"
    )
    time: str | None = _key(
        "a column by which the steps of a sequence are put in order; without id: the last rows by it are the test"
    )
    codec: Literal[
        "auto", "bytes", "characters", "bpe", "abc", "words", "symbols", "items", "values", "log_mel", "mfcc",
        "stacked_mel", "waveform", "pixels", "pixel_steps", "patches", "frame_vectors",
    ] = _key("how what is read becomes steps", "auto")  # fmt: skip
    split: tuple[float, float, float] | None = _key("shares of documents for train, valid, test")
    budget: str = _key(
        "10m | 90s | 2e15flops | 5Mtok | 2000steps | @RUN (its steps) | +10m (with resume=) | auto", "auto"
    )
    samples: int | None = _key("training rows that are used, of more; drawn by the seed", at_least=1)
    seed: int = _key("of initial weights, sample order and dropout", 0, at_least=0, below=2**63)
    batch: int | None = _key("rows of one optimizer step", at_least=1)
    length: int | None = _key("tokens of a row", at_least=1)
    vectors: str | None = _key(
        "a file of word vectors that the words start from: GloVe's text, or .npy with its words"
    )
    augment: str | None = _key(
        "changes to training examples: none, or names such as noise,crop (see docs/answers.md); auto = the codec's own"
    )
    joint: bool | None = _key(
        "one codec, and one table of vectors, for source and target; None = where both look alike"
    )
    metric: Literal["auto", "bleu", "chrf", "wer", "per", "cer", "exact", "rouge"] = _key(
        "what written texts are scored by, and a run goes by", "auto"
    )
    beam: int | None = _key("texts followed at once while one is written; 1 = greedy", at_least=1)
    shuffled: bool = _key("put each sequence's steps into random order, to see what order is worth", False)
    smoothing: float | None = _key("share of a class that is spread over all", at_least=0.0, below=1.0)
    weights: Literal["none", "balanced"] = _key(
        "of classes in the loss: balanced = all weigh the same", "none"
    )
    threshold: float | Literal["auto"] | None = _key(
        "the probability from which the rarer of two classes, or any of several labels, is said; auto = fitted to F1",
        at_least=0.0,
        below=1.0,
    )
    horizon: int | None = _key("of a forecast: steps ahead; None = a season", at_least=1)
    lookback: int | None = _key("of a forecast: steps of the past that it is given", at_least=1)
    stride: int = _key(
        "of a forecast: steps between the moments from which the test part is foretold", 1, at_least=1
    )
    season: int | None = _key("of a forecast: steps after which series repeat; 1 = they don't", at_least=1)
    frequency: str = _key(
        "of a forecast: how far apart steps are (h, D, W, M, 15min); rows = a row is a step", "auto"
    )
    scale: Literal["auto", "series", "window", "last"] = _key(
        "of a forecast: by what series are scaled; only `series` can stream", "auto"
    )
    base: Literal["auto", "centre", "last", "season", "line"] = _key(
        "of a forecast: from what it departs: the scale's centre, the last value, the one a season ago, "
        "or the line through "
        "the last two",
        "auto",
    )
    way: Literal["direct", "steps"] = _key(
        "of a forecast: all steps ahead at once, or one after the other as sampled paths", "direct"
    )
    distribution: Literal["auto", "quantiles", "gaussian", "student", "point"] = _key(
        "of a forecast: what is said of each step ahead", "auto"
    )
    accumulate: int = _key("pieces a batch is computed in: same gradient, less memory", 1, at_least=1)
    lr: float | None = _key("learning rate of the flat phase", above=0.0)
    warmup: int | None = _key("steps until the learning rate is reached", at_least=0)
    cooldown: float | None = _key(
        "share of the run, its end, in which the learning rate falls to 0", above=0.0, below=1.0
    )
    weight_decay: float | None = _key("AdamW's, on matrices only", at_least=0.0)
    betas: tuple[float, float] | None = _key("AdamW's averaging of gradient and squared gradient")
    clip: float | None = _key("largest gradient norm; 0 = off", at_least=0.0)
    ema: float | None = _key(
        "decay of an average of the weights, which is then what is saved; 0 = off", at_least=0.0, below=1.0
    )
    nonfinite: Literal["stop", "skip", "rewind"] = _key(
        "what a NaN or Inf loss or gradient does to the run", "stop"
    )
    patience: int | None = _key("evaluations without gain until the decay starts; 0 = never", at_least=0)
    evaluate_every: int | None = _key(
        "steps between evaluations, each of which saves a checkpoint", at_least=1
    )
    log_every: int | None = _key("steps between lines of metrics.jsonl", at_least=1)
    context: int | None = _key(
        "tokens of past given to a model without fixed-size state when scored", at_least=1
    )
    keep: int = _key("checkpoints kept beside the best and the one before the decay", 2, at_least=2)
    dtype: Literal["auto", "float32", "bfloat16"] = _key("of the arithmetic; weights stay float32", "auto")
    device: str = _key("auto, cpu, cuda, cuda:1, mps", "auto")
    threads: int | None = _key("CPU threads; None = as torch decides", at_least=1)
    resume: str | None = _key("a run to go on with: @last, its name, or its folder")
    runs: str = _key("where run folders are made", "runs")
    out: str | None = _key("the run folder's own path, instead of runs/KIND-DATA-N")

    def __post_init__(self) -> None:
        if self.budget != "auto":
            Budget.parse(self.budget)
        problems = [
            *_out_of_range(self, ""),
            *_out_of_range(self.model, "model."),
            *_out_of_range(self.tune, "tune."),
        ]
        if self.from_ is None and self.tune != Tuning():
            problems.append("tune= says how to go on with other weights: say which with from=")
        if self.batch is not None and self.batch % self.accumulate:
            problems.append(
                f"batch={self.batch} can't be computed in accumulate={self.accumulate} equal pieces"
            )
        if self.split is not None and (min(self.split) <= 0 or abs(sum(self.split) - 1) > 1e-6):
            problems.append(f"split={self.split}: three shares above 0 that add up to 1")
        if self.betas is not None and not all(0 <= beta < 1 for beta in self.betas):
            problems.append(f"betas={self.betas}: two numbers from 0 to below 1")
        if problems:
            raise UserError("; ".join(problems) + ".")

    def asked(self) -> Asked:
        """What it says of a table's columns and rows."""
        task = None if self.task == "auto" else self.task
        return Asked(
            task, self.input, self.target, self.group, self.held, self.id, self.time, self.codec, self.split
        )

    @classmethod
    def of(cls, **keys: Any) -> Recipe:
        """A recipe from keyword arguments: `model="lstm"`, `model={"width": 256}` or `**{"model.width": 256}`.

        Values are read as on the command line, so texts such as `batch="1k"` will do.

        Raises UserError for an unknown key (with the nearest known one) or a value of the wrong type.
        """
        return resolve(cls, pairs=keys, environ={}).value


@dataclass(frozen=True, kw_only=True)
class Beside(Recipe):
    """The keys of `unrolled finetune`: a run's recipe, and what stands beside the run."""

    scratch: bool = _key("also train without these weights, on the same rows with the same budget", False)


def _out_of_range(record: Any, prefix: str) -> list[str]:
    said = [
        out_of_range(f"{prefix}{key_of(entry)}", getattr(record, entry.name), entry.metadata)
        for entry in fields(record)
    ]
    return [problem for problem in said if problem]
