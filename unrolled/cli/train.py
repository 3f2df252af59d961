"""`unrolled train`: one run, from data to a scored model in a run folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments
    from unrolled.training.recipe import Recipe
    from unrolled.training.run import Run

EXAMPLES = (
    "unrolled train data=irish model=lstm budget=2m",
    "unrolled train data=my_texts/*.txt model=transformer model.layers=4 --dry-run",
    "unrolled train -c mine.toml seed=1",
    "unrolled train resume=@last budget=+10m",
)
WORDS = ()
SWITCHES = ("dry-run",)


def keys() -> type | None:
    """A run's recipe."""
    from unrolled.training.recipe import Recipe

    return Recipe


def run(arguments: Arguments) -> Run | None:
    """Trains; with `--dry-run` only says what would be done."""
    from unrolled.training.recipe import Recipe

    resolved = arguments.resolve(Recipe)  # before torch is imported: a mistyped key is told at once
    precheck(resolved.value, arguments)  # so is a broken file
    from unrolled.training.progress import Talk
    from unrolled.training.train import train

    done = train(
        recipe=resolved.value,
        sources=resolved.changed(),
        dry_run="dry-run" in arguments.switches,
        talk=Talk(quiet="quiet" in arguments.switches),
    )
    if done is not None:
        from unrolled.comparison.report import write_run

        write_run(done)
    return done


def precheck(recipe: Recipe, arguments: Arguments) -> None:
    """Refuses data that can't be trained on, while a second and 200 MB of torch are still to be spent."""
    if recipe.resume is not None:
        return
    from unrolled.datasets import precheck as data
    from unrolled.datasets.asked import KEYS

    others = [f"{key}={value}" for key, value in arguments.pairs.items() if key not in ("data", *KEYS)]
    others += [word for file in arguments.files for word in ("-c", file)]
    data.precheck(recipe.data, recipe.asked(), others)


def show(result: Any) -> str:
    """Nothing: all was said on the way."""
    return ""


def brief(result: Any) -> str:
    """The run's folder."""
    return "" if result is None else str(result.path)
