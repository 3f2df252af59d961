"""`reproduce`: the named experiments, each beside the figures that it must reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from unrolled.comparison import bottleneck, bottleneck_report
from unrolled.comparison.board import Board
from unrolled.comparison.members import MODELS
from unrolled.comparison.race import compare
from unrolled.comparison.report import write_run
from unrolled.comparison.result import ENOUGH_SEEDS, Comparison, Row
from unrolled.datasets.holdings import here
from unrolled.datasets.rows import raw_rows
from unrolled.datasets.samples import resolve
from unrolled.datasets.sets import named
from unrolled.datasets.sound import sound_of
from unrolled.errors import CheckFailed, unknown
from unrolled.running.generate import generate
from unrolled.running.transcriber import Transcriber
from unrolled.training.folder import write_json
from unrolled.training.progress import Talk
from unrolled.training.recipe import ModelChoice, Recipe
from unrolled.training.run import Run
from unrolled.training.train import train

QUICK = "12steps"  # exercises the path; its figures mean nothing
QUICK_KIND = "gru"
HEARD = "5m"  # of training on strings of digits
SMALL = 30_000  # weights, where it must be quick


@dataclass(frozen=True)
class Figure:
    """One figure: what was measured, what was asked, and whether that is met."""

    what: str
    ours: str
    asked: str
    met: bool


@dataclass(frozen=True)
class Reproduction:
    """What one experiment gave. `quick`: only the path was exercised."""

    name: str
    path: Path
    figures: list[Figure]
    quick: bool = False

    @property
    def met(self) -> bool:
        """Whether every figure is."""
        return all(figure.met for figure in self.figures)

    def __str__(self) -> str:
        rows = [("figure", "ours", "asked", ""), *((f.what, f.ours, f.asked, _word(f)) for f in self.figures)]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [
            "  ".join((*(f"{c:<{w}}" for c, w in zip(row, widths, strict=False)), row[3])).rstrip()
            for row in rows
        ]
        quick = ["", "quick: the path was exercised; these figures mean nothing."] if self.quick else []
        return "\n".join([*lines, *quick, "", str(self.path / "report.html")])

    def require(self) -> None:
        """Raises CheckFailed, with what is missed, unless all figures are met; a quick run is never judged."""
        missed = [f"{f.what} {f.ours}, asked {f.asked}" for f in self.figures if not f.met]
        if missed and not self.quick:
            raise CheckFailed(f"reproduce {self.name}: NOT MET: {'; '.join(missed)}.")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with `met`."""
        return {**asdict(self), "path": str(self.path), "met": self.met}


@dataclass(frozen=True)
class Catalogue:
    """The experiments there are: name and what each shows."""

    experiments: dict[str, str] = field(
        default_factory=lambda: {n: e.summary for n, e in EXPERIMENTS.items()}
    )


@dataclass(frozen=True)
class How:
    """How an experiment is to run."""

    quick: bool
    runs: str
    threads: int | None
    board: Board


def reproduce(
    name: str | None = None,
    *,
    quick: bool = False,
    runs: str = "runs",
    threads: int | None = None,
    board: Board | None = None,
) -> Reproduction | Catalogue:
    """Runs a named experiment and holds its figures against those asked; without a name, lists what there is.

    `quick`: a few steps, to see that everything works. Raises UserError for a name there is not.
    """
    if name is None:
        return Catalogue()
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    how = How(quick, runs, threads, board or Board())
    path, figures = EXPERIMENTS[name].run(how)
    done = Reproduction(name, path, figures, quick)
    write_json(path / "reproduce.json", done.to_dict())
    return done


def _irish(how: How) -> tuple[Path, list[Figure]]:
    """Recurrent models against the n-gram, two minutes each."""
    if how.quick:
        found = _quick_race("irish", how)
    else:
        found = compare("irish", MODELS, "2m", 3, runs=how.runs, threads=how.threads, board=how.board)
    n = found.baseline
    figures = []
    for row in found.rows:
        if row.kind in ("lstm", "gru", "mingru"):
            ours = "failed" if row.mean is None else f"{row.mean:.3f} ({row.low:.3f} to {row.high:.3f})"
            met = row.high is not None and row.high < n.mean and not row.failed
            figures.append(
                Figure(
                    f"{row.kind}, bits per character",
                    ours,
                    f"below {n.mean:.3f} ({n.name})",
                    met,
                )
            )
    return found.path, figures + _best(found.rows)


def _best(rows: Sequence[Row]) -> list[Figure]:
    """The best single run, and the mean of its kind's seeds, which must be ENOUGH_SEEDS."""
    asked = ("at most 1.50", f"at most 1.52, {ENOUGH_SEEDS} seeds")
    best = min((row for row in rows if row.best is not None), key=lambda row: row.best or 0.0, default=None)
    if best is None or best.best is None or best.mean is None:
        return [
            Figure(what, "failed", a, False)
            for what, a in zip(("best single run", "its mean"), asked, strict=True)
        ]
    enough = len(best.scores) >= ENOUGH_SEEDS
    mean = f"{best.mean:.3f}, {len(best.scores)} seeds"
    return [
        Figure(f"best single run ({best.kind})", f"{best.best:.3f}", asked[0], best.best <= 1.50),
        Figure("the mean of its kind", mean, asked[1], enough and best.mean <= 1.52),
    ]


def _moby_dick(how: How) -> tuple[Path, list[Figure]]:
    """Words of a novel, in pieces: an LSTM against the n-gram over the same pieces, five minutes."""
    kind = QUICK_KIND if how.quick else "lstm"
    if how.quick:
        found = _quick_race("moby_dick", how, codec="bpe")
    else:
        found = compare(
            "moby_dick", [kind], "5m", codec="bpe", runs=how.runs, threads=how.threads, board=how.board
        )  # fmt: skip
    row, ahead, n = found.row(kind), found.against_baseline(kind), found.baseline
    scale = found.byte_share
    asked = f"below {scale * n.mean:.3f} ({n.name})"
    if row.bits_per_byte is None or ahead is None:
        return found.path, [Figure(f"{kind}, bits per byte", "failed", asked, False)]
    gain = f"{scale * ahead.difference:.3f} ({scale * ahead.low:.3f} to {scale * ahead.high:.3f})"
    met = row.bits_per_byte < scale * n.mean
    return found.path, [
        Figure(f"{kind}, bits per byte", f"{row.bits_per_byte:.3f}", asked, met),
        Figure("fewer than the n-gram's, by", gain, "interval above 0", ahead.decided),
    ]


def _music(how: How) -> tuple[Path, list[Figure]]:
    """Fifty tunes of a model that learned for five minutes."""
    recipe = Recipe.of(data="irish", model="lstm", budget="5m", runs=how.runs, threads=how.threads)
    if how.quick:
        recipe = replace(recipe, budget=QUICK, model=ModelChoice(kind=QUICK_KIND, width=32))
    run = train(recipe=recipe, talk=Talk(quiet=how.board.quiet))
    assert run is not None
    write_run(run)
    count = 2 if how.quick else 50
    report = generate(run.model(), count=count, length=60 if how.quick else None).report
    parsed, right = report.parsed >= 0.9 * count, report.bars_right >= 0.75 * count
    return run.path, [
        Figure("tunes that parse", f"{report.parsed} of {count}", "at least 90 %", parsed),
        Figure("with every bar right", f"{report.bars_right} of {count}", "at least 75 %", right),
    ]


def _spoken_digits(how: How) -> tuple[Path, list[Figure]]:
    """Strings of spoken digits written down, of fsdd's recordings where they are at hand, else of the shipped ones; then
    the test sounds again as they would come, a tenth of a second at a time.
    """
    data = "spoken_strings_fsdd" if here(named("spoken_strings_fsdd")) else "spoken_strings"
    budget = QUICK if how.quick else HEARD
    run = train(
        data=data, budget=budget, runs=how.runs, threads=how.threads, talk=Talk(quiet=how.board.quiet)
    )
    assert run is not None and run.test is not None and run.baseline is not None
    write_run(run)
    error, (low, high) = run.test["values"]["cer"], run.test["interval"]
    words = run.test["values"]["wer"]
    naive, name = run.baseline["value"], run.baseline["name"]
    same, heard = _as_it_comes(run, 3 if how.quick else 100)
    return run.path, [
        Figure(
            f"{data}, character errors",
            f"{error:.4f} ({low:.4f} to {high:.4f})",
            "at most 0.05",
            error <= 0.05,
        ),
        Figure("word errors", f"{words:.4f}", f"below {naive:.4f} characters ({name})", words < naive),
        Figure("the same text while the sound comes", f"{same} of {heard}", "all", same == heard),
    ]


def _as_it_comes(run: Run, count: int) -> tuple[int, int]:
    """Of how many test sounds the text is the same when they are heard in pieces, and how many were."""
    model = run.model()
    rows = [row for row in raw_rows(resolve(run.recipe.data)) if row["split"] == "test"][:count]
    whole = model.task.predict(model, [model.task.encoded(row) for row in rows])
    same = 0
    for row, text in zip(rows, whole, strict=True):
        sound, transcriber = sound_of(row["sound"]), Transcriber(model)
        for begin in range(0, len(sound.samples), sound.rate // 10):
            transcriber.hear(sound.samples[begin : begin + sound.rate // 10], sound.rate)
        same += transcriber.finish() == text
    return same, len(rows)


def _bottleneck(how: How) -> tuple[Path, list[Figure]]:
    """Words turned round without and with attention, by length and size of state."""
    grid = bottleneck.QUICK if how.quick else bottleneck.Grid()
    path, cells = bottleneck.measure(grid, Path(how.runs), how.threads, how.board.say)
    bottleneck_report.write_report(path, cells, grid, how.quick)
    return path, [Figure(*claim) for claim in bottleneck_report.claims(cells, grid)]


def _quick_race(data: str, how: How, codec: str = "auto") -> Comparison:
    size = None if codec == "bpe" else SMALL  # the vectors of a book's word pieces alone are more
    return compare(
        data, [QUICK_KIND], QUICK, codec=codec, parameters=size, runs=how.runs, threads=how.threads, board=how.board
    )  # fmt: skip


def _word(figure: Figure) -> str:
    return "met" if figure.met else "NOT MET"


@dataclass(frozen=True)
class Experiment:
    """A named experiment."""

    summary: str
    run: Callable[[How], tuple[Path, list[Figure]]]


EXPERIMENTS: dict[str, Experiment] = {
    "irish": Experiment(
        "LSTM, GRU, minGRU beat the best n-gram in two minutes each; 3 seeds (40 minutes)", _irish
    ),
    "moby-dick": Experiment(
        "a novel in word pieces: an LSTM beats the n-gram in five minutes (11 minutes)", _moby_dick
    ),
    "spoken-digits": Experiment(
        "strings of spoken digits become text by CTC, as a whole and while they come (6 minutes)",
        _spoken_digits,
    ),
    "music": Experiment(
        "of 50 tunes after five minutes 90 % parse, 75 % have every bar right (6 minutes)", _music
    ),
    "bottleneck": Experiment(
        "quality by source length: it falls without attention, and doesn't with it (10 minutes on 2 cores)",
        _bottleneck,
    ),
}
