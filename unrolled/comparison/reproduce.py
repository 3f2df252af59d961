"""`reproduce`: the named experiments, each beside the figures that it must reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from unrolled.comparison.board import Board
from unrolled.comparison.members import MODELS
from unrolled.comparison.race import compare
from unrolled.comparison.report import write_run
from unrolled.comparison.result import Comparison
from unrolled.errors import CheckFailed, unknown
from unrolled.running.generate import generate
from unrolled.training.folder import write_json
from unrolled.training.progress import Talk
from unrolled.training.recipe import ModelChoice, Recipe
from unrolled.training.train import train

QUICK = "12steps"  # exercises the path; its figures mean nothing
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
        """Raises CheckFailed, with the figures, unless all are met; a quick run is never judged."""
        if not self.quick and not self.met:
            raise CheckFailed(f"reproduce {self.name}: not all figures are met.\n{self}")


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
    write_json(path / "reproduce.json", {**asdict(done), "path": str(path), "met": done.met})
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
            met = row.high is not None and row.high < n.bits_per_character and not row.failed
            figures.append(
                Figure(
                    f"{row.kind}, bits per character",
                    ours,
                    f"below {n.bits_per_character:.3f} ({n.name})",
                    met,
                )
            )
    best = min((row for row in found.rows if row.best is not None), key=lambda row: row.best or 0.0)
    assert best.best is not None and best.mean is not None
    figures.append(
        Figure(f"best single run ({best.kind})", f"{best.best:.3f}", "at most 1.50", best.best <= 1.50)
    )
    figures.append(
        Figure(f"its mean of {len(best.scores)}", f"{best.mean:.3f}", "at most 1.52", best.mean <= 1.52)
    )
    return found.path, figures


def _moby_dick(how: How) -> tuple[Path, list[Figure]]:
    """Words of a novel, in pieces: an LSTM against the n-gram over the same pieces, five minutes."""
    if how.quick:
        found = _quick_race("moby_dick", how, codec="bpe")
    else:
        found = compare(
            "moby_dick", ["lstm"], "5m", codec="bpe", runs=how.runs, threads=how.threads, board=how.board
        )  # fmt: skip
    row, n = found.ranked[0], found.baseline
    ahead = next((pair for pair in found.pairs if pair.other == n.name), None)
    if row.bits_per_byte is None or ahead is None:
        return found.path, [
            Figure("bits per byte", "failed", f"below {n.bits_per_byte:.3f} ({n.name})", False)
        ]
    scale = n.bits_per_byte / n.bits_per_character
    gain = f"{scale * ahead.difference:.3f} ({scale * ahead.low:.3f} to {scale * ahead.high:.3f})"
    asked, met = f"below {n.bits_per_byte:.3f} ({n.name})", row.bits_per_byte < n.bits_per_byte
    return found.path, [
        Figure(f"{row.kind}, bits per byte", f"{row.bits_per_byte:.3f}", asked, met),
        Figure("fewer than the n-gram's, by", gain, "interval above 0", ahead.decided),
    ]


def _music(how: How) -> tuple[Path, list[Figure]]:
    """Fifty tunes of a model that learned for five minutes."""
    recipe = Recipe.of(data="irish", budget="5m", runs=how.runs, threads=how.threads)
    if how.quick:
        recipe = replace(recipe, budget=QUICK, model=ModelChoice(kind="gru", width=32))
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


def _quick_race(data: str, how: How, codec: str = "auto") -> Comparison:
    size = None if codec == "bpe" else SMALL  # a vocabulary of 8000 has more weights than that
    return compare(
        data, ["gru"], QUICK, codec=codec, parameters=size, runs=how.runs, threads=how.threads, board=how.board
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
    "music": Experiment(
        "of 50 tunes after five minutes 90 % parse, 75 % have every bar right (6 minutes)", _music
    ),
}
