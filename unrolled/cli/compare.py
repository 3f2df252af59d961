"""`unrolled compare`: models of one size, one split, one budget; a table with intervals and a report."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from unrolled.errors import UserError

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments

EXAMPLES = (
    "unrolled compare",
    "unrolled compare data=irish models=lstm,gru,mingru budget=2m seeds=3",
    "unrolled compare data=sentiment models=lstm,gru,encoder budget=1m seeds=3",
    "unrolled compare data=my.txt models=gru,transformer parameters=400k budget=2000steps",
    "unrolled compare resume=compare-irish-1",
    "unrolled compare data=sentiment from=minilm,scratch samples=50,200,1000,all seeds=3",
)
WORDS = ()
SWITCHES = ()


@dataclass(frozen=True)
class Keys:
    """The keys of `unrolled compare`: those of `un.compare`."""

    data: str = field(default="irish", metadata={"help": "a shipped set, a file, a folder or a glob"})
    models: tuple[str, ...] = field(
        default=("rnn", "lstm", "gru", "mingru", "transformer"),
        metadata={
            "help": "kinds of model; window and n-gram (text), bag and simple rivals (rows) stand beside"
        },
    )
    budget: str = field(
        default="1m", metadata={"help": "of each member: 10m | 90s | 2e15flops | 5Mtok | 2000steps | @RUN"}
    )
    seeds: int = field(default=1, metadata={"help": "heats; a verdict needs 3", "at_least": 1})
    seed: int = field(default=0, metadata={"help": "of the first heat", "at_least": 0})
    parameters: int | None = field(
        default=None, metadata={"help": "weights of each model, within 5 %", "at_least": 1}
    )
    codec: str = field(
        default="auto", metadata={"help": "how what is read becomes steps: abc, bpe, words, values, ..."}
    )
    split: tuple[float, float, float] | None = field(
        default=None, metadata={"help": "shares of documents for train, valid, test"}
    )
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:1, mps"})
    dtype: str = field(default="auto", metadata={"help": "of the arithmetic: auto, float32, bfloat16"})
    threads: int | None = field(default=None, metadata={"help": "CPU threads", "at_least": 1})
    task: str = field(default="auto", metadata={"help": "auto, generate, or of rows classify, tag, regress"})
    input: str | None = field(default=None, metadata={"help": "the column of a table that is read"})
    target: str | None = field(
        default=None, metadata={"help": "the column of a table that is to be foretold"}
    )
    group: str | None = field(
        default="auto",
        metadata={"help": "a column whose values each stay in one part; none = row by row"},
    )
    held: str | None = field(default=None, metadata={"help": "the groups that are the test"})
    id: str | None = field(
        default="auto", metadata={"help": "a column that names the sequence of a row; none = a row is one"}
    )
    time: str | None = field(default=None, metadata={"help": "a column that puts rows in order"})
    shuffled: bool = field(default=False, metadata={"help": "each sequence's steps in random order"})
    vectors: str | None = field(default=None, metadata={"help": "word vectors that the words start from"})
    augment: str | None = field(default=None, metadata={"help": "changes to training examples, as in train"})
    smoothing: float | None = field(
        default=None,
        metadata={"help": "share of a class that is spread over all", "at_least": 0.0, "below": 1.0},
    )
    weights: str = field(default="none", metadata={"help": "of classes in the loss: none or balanced"})
    threshold: float | Literal["auto"] | None = field(
        default=None, metadata={"help": "the probability from which the rarer class is said; auto = fitted"}
    )
    from_: tuple[str, ...] = field(
        default=(), metadata={"help": "instead of a race: what to start from, as in minilm,scratch"}
    )
    samples: tuple[str, ...] = field(
        default=(), metadata={"help": "with from=: numbers of labelled rows, as in 50,200,1000,all"}
    )
    runs: str = field(default="runs", metadata={"help": "where the comparison's folder is made"})
    out: str | None = field(
        default=None, metadata={"help": "the folder itself, instead of runs/compare-DATA-N"}
    )
    resume: str | None = field(default=None, metadata={"help": "a comparison that was stopped"})


def keys() -> type | None:
    """The verb's keys."""
    return Keys


def run(arguments: Arguments) -> Any:
    """Races."""
    # Before torch is imported: a mistyped key is told at once.
    resolved = arguments.resolve(Keys, WORDS)
    options = asdict(resolved.value)
    starts, samples = options.pop("from_"), options.pop("samples")
    from unrolled.comparison.board import Board

    board = Board(quiet="quiet" in arguments.switches)
    if starts or samples:
        from unrolled.comparison.labels import label_curve

        changed = resolved.changed()
        if no := [key for key in ("models", "parameters", "resume") if key in changed]:
            raise UserError(
                f"{no[0]}= is of a race between models, from= and samples= are a curve over labels."
            )
        given = {key: options[key] for key in changed if key not in ("from", "samples", "seeds", "out")}
        kept = {"data": options["data"], "runs": options["runs"], **given}
        return label_curve(
            starts or ("scratch",), samples or ("all",), options["seeds"], board, options["out"], **kept
        )
    from unrolled.comparison.race import compare

    return compare(**options, board=board)


def show(result: Any) -> str:
    """The table, what may be said about it, where everything is, and what to type next."""
    from unrolled.comparison.labels import LabelCurve

    if isinstance(result, LabelCurve):
        return f"{result.table()}\n\n{result.path / 'report.html'}"
    from unrolled.comparison.words import next_commands, table

    lines = [table(result), "", str(result.path / "report.html")]
    if result.best:
        commands = next_commands(result.best_run, result.codec == "abc", result.answers)
        lines += [f"best run  {result.best_run}", "", "next", *(f"  {command}" for command in commands)]
    return "\n".join(lines)


def brief(result: Any) -> str:
    """The folder."""
    return str(result.path)
