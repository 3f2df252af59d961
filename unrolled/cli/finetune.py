"""`unrolled finetune`: go on with other weights, on your data, under a head for your task."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments

EXAMPLES = (
    "unrolled finetune from=minilm data=sentiment",
    "unrolled finetune from=@last data=reviews.csv target=label tune=lora",
    "unrolled finetune from=lstm-moby_dick-1 data=sentiment tune=gradual scratch=true",
    "unrolled finetune from=minilm data=sentiment samples=100 --dry-run",
)
WORDS = ("from",)
SWITCHES = ("dry-run",)


def keys() -> type | None:
    """A run's recipe, and what stands beside the run."""
    from unrolled.training.recipe import Beside

    return Beside


def run(arguments: Arguments) -> Any:
    """Fine-tunes; with `--dry-run` only says what would be done."""
    from unrolled.cli.train import precheck
    from unrolled.training.recipe import Beside, Recipe

    resolved = arguments.resolve(Beside, WORDS)
    recipe = Recipe(**{entry.name: getattr(resolved.value, entry.name) for entry in fields(Recipe)})
    precheck(recipe, arguments)
    from unrolled.comparison.finetune import finetune
    from unrolled.training.progress import Talk

    done = finetune(
        recipe=recipe,
        scratch=resolved.value.scratch,
        sources={key: came for key, came in resolved.changed().items() if key != "scratch"},
        dry_run="dry-run" in arguments.switches,
        talk=Talk(quiet="quiet" in arguments.switches),
    )
    if done is not None:
        from unrolled.comparison.report import write_run

        for each in (done.run, done.scratch):
            if each is not None:
                write_run(each)
    return done


def show(result: Any) -> str:
    """Nothing: all was said on the way."""
    return ""


def brief(result: Any) -> str:
    """The runs' folders."""
    runs = () if result is None else (result.run, result.scratch)
    return "\n".join(str(each.path) for each in runs if each is not None)
