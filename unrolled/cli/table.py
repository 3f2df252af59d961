"""The closed table of verbs. `unrolled --help` is printed from it alone; a verb's file is imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from unrolled.errors import unknown

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments


class Verb(NamedTuple):
    """One line of the overview."""

    group: str
    summary: str


GROUPS = ("start", "train", "use", "understand")

VERBS = {
    "demo": Verb("start", "train, compare and compose a tune you can hear, in six minutes"),
    "data": Verb("start", "list the sets that have names, get one; look at data as the model will see it"),
    "doctor": Verb("start", "what this machine has for the work, and what it lacks"),
    "train": Verb("train", "train a model on your data, with a budget"),
    "finetune": Verb("train", "go on with a run's or a pretrained model's weights, on your data"),
    "compare": Verb("train", "models of one size under one budget: a table with intervals, a report"),
    "evaluate": Verb("train", "a run's score on held-out data"),
    "reproduce": Verb("train", "run a named experiment and hold its figures against those asked"),
    "runs": Verb("train", "list the runs, with their scores"),
    "predict": Verb("use", "a run's answers to new rows, as CSV or JSON lines"),
    "translate": Verb(
        "use", "what a run writes for texts: translations, pronunciations, summaries; line by line"
    ),
    "forecast": Verb("use", "what a run foretells after the end of series, with quantiles, as CSV"),
    "generate": Verb("use", "let a run's model write: text, a tune you can hear, the likeliest next words"),
    "export": Verb("use", "a run's model as files that need no torch: ONNX, a page, C; proved equal"),
    "serve": Verb("use", "runs behind HTTP: completions, answers to rows, streams that keep their state"),
    "inspect": Verb(
        "understand", "look inside a run: gradients, memory, states, attention, units, embeddings"
    ),
    "studio": Verb("understand", "a local page: runs as they train, read token by token, side by side"),
    "learn": Verb("understand", "the course: each stop trains, draws its picture and writes a page"),
    "config": Verb("understand", "show, explain and compare settings"),
}

EXAMPLES = (
    ("unrolled demo", "train, compare, and hear a tune, in six minutes"),
    ("unrolled train data=irish model=lstm budget=2m", "train on them; or on data=YOUR_FILE"),
    ("unrolled compare data=irish budget=2m seeds=3", "which model does it better?"),
    ('unrolled generate @last prompt="X:1" wav=tune.wav', "let it compose, and listen"),
    ("unrolled --help", "every verb"),
)

SWITCHES = {
    "json": "print one JSON document on stdout",
    "quiet": "print ids and paths only",
    "check": "exit with 5 unless the result is good enough",
    "dry-run": "say what would be done, then stop",
    "static": "write one file that needs no server",
    "debug": "show the traceback of an error",
    "help": "this help",
}
OF_VERBS = frozenset({"check", "dry-run", "static"})  # the others are known to every verb


class VerbFile(Protocol):
    """What each file of the package `unrolled.cli` that is named in VERBS offers."""

    EXAMPLES: tuple[str, ...]
    WORDS: tuple[str, ...]  # the keys that bare words stand for, in order
    SWITCHES: tuple[str, ...]  # of `OF_VERBS`, those it knows

    def keys(self) -> type | None:
        """The dataclass of its keys; None where there are none."""

    def run(self, arguments: Arguments) -> Any:
        """Does the work and returns the dataclass that `--json` prints; if it has a `require`, that raises afterwards."""

    def show(self, result: Any) -> str:
        """The result for a person."""

    def brief(self, result: Any) -> str:
        """The result for a script: ids and paths only."""


def load(verb: str) -> VerbFile:
    """The file of a verb. Raises UserError, with the nearest verb, for a name that isn't in the table."""
    if verb not in VERBS:
        raise unknown("verb", verb, VERBS)
    from pkgutil import resolve_name

    file: VerbFile = resolve_name(f"unrolled.cli.{verb}")
    return file
