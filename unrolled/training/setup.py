"""From a recipe to everything a run needs: open keys decided, data read, model built, budget turned into a plan."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from unrolled.datasets import samples
from unrolled.datasets.asked import check_plain, check_rows
from unrolled.datasets.rows import continues
from unrolled.errors import UserError
from unrolled.model import build, forecasters, known_kinds
from unrolled.training.budget import Budget, Plan
from unrolled.training.corpus import prepare
from unrolled.training.defaults import Chosen, fill
from unrolled.training.device import choose_device, choose_dtype
from unrolled.training.folder import command_of
from unrolled.training.learner import Learner, Progress, Settings
from unrolled.training.material import Material
from unrolled.training.optimizer import adamw
from unrolled.training.progress import Talk
from unrolled.training.recipe import Recipe
from unrolled.training.rows import prepare as prepare_table
from unrolled.training.run import Run
from unrolled.training.text import Text

if TYPE_CHECKING:
    from unrolled.model import Model


SMALL, FEW = 1000, 16  # training examples below which a batch has so many rows
LEAST_BETWEEN, MOST_BETWEEN = 50, 1000  # steps between evaluations of rows, where a plateau ends the run


@dataclass
class Setup:
    """A resolved recipe with everything it needs, before any folder is made: what `--dry-run` looks at."""

    recipe: Recipe
    chosen: list[Chosen]
    sources: dict[str, str]
    material: Material
    device: torch.device
    bfloat16: bool
    dtype_reason: str
    learner: Learner
    command: str  # that repeats the run
    notes: list[str] = field(default_factory=list)

    @property
    def tokens_a_step(self) -> int:
        """Targets of one optimizer step."""
        return self.material.targets(self.learner.sampler.batch(0))

    @property
    def flops_a_step(self) -> float:
        """Forward and backward: three times the forward pass."""
        x = self.learner.sampler.batch(0)[0]
        return 3.0 * x.shape[0] * self.learner.model.flops(x.shape[1])


def set_up(recipe: Recipe, sources: dict[str, str], talk: Talk, material: Material | None = None) -> Setup:
    """Decides open keys, reads the data unless `material` has it, builds the model. Raises UserError for what can't be."""
    device = choose_device(recipe.device, talk.warn)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    command = command_of(recipe)
    material = material or material_of(recipe, talk)
    found = material.chosen
    recipe, filled = filled_in(recipe, material, device.type)
    chosen = [*filled, *found]
    bfloat16, dtype_reason = choose_dtype(recipe.dtype, device, talk.warn)
    if recipe.dtype == "auto":
        recipe = replace(recipe, dtype="bfloat16" if bfloat16 else "float32")
        chosen.append(Chosen("dtype", recipe.dtype, dtype_reason))
    model = _build(recipe, material, device)
    assert recipe.betas is not None and recipe.lr is not None
    sampler = material.feed(model, recipe)
    notes = list(sampler.notes)
    pieces = recipe.accumulate
    if sampler.batch_size % pieces:
        notes.append(f"accumulate={pieces} becomes 1: {sampler.batch_size} rows don't come apart evenly")
        pieces = 1
    settings = Settings(
        recipe.seed, recipe.lr, recipe.betas, recipe.weight_decay or 0.0, recipe.warmup or 0, recipe.clip or 0.0,
        recipe.ema or 0.0, pieces, bfloat16,
    )  # fmt: skip
    learner = Learner(
        model,
        adamw(model, settings.lr, settings.betas, settings.weight_decay),
        sampler,
        settings,
        Progress(Plan()),
    )
    said = sources | {choice.key: choice.reason for choice in chosen}
    return Setup(recipe, chosen, said, material, device, bfloat16, dtype_reason, learner, command, notes)


def filled_in(recipe: Recipe, material: Material, device: str) -> tuple[Recipe, list[Chosen]]:
    """The recipe with what was found out about its data and every open key decided, and the latter decisions."""
    recipe = replace(recipe, **{choice.key: choice.value for choice in material.chosen})
    small = (
        material.reads != "text" and material.rows < SMALL and recipe.batch is None and recipe.accumulate == 1
    )
    if small:
        recipe = replace(recipe, batch=FEW)
    kinds = forecasters() if material.reads == "series" else known_kinds(whole=recipe.task != "generate")
    filled, chosen = fill(recipe, kinds, device, material.reads)
    if filled.patience and recipe.evaluate_every is None and filled.batch and material.reads != "text":
        # Rows are gone through quickly: asked a few times each pass or two, a plateau is seen when it is there.
        passes = 2 * material.rows // filled.batch
        filled = replace(filled, evaluate_every=max(LEAST_BETWEEN, min(MOST_BETWEEN, passes)))
    if small:
        chosen.append(Chosen("batch", FEW, f"fewer than {SMALL:,} training examples: more steps a pass"))
    return filled, chosen


def generates(recipe: Recipe) -> bool:
    """Whether it goes on with text: as asked or, where it doesn't say, as its files suggest. Raises UserError for none."""
    return recipe.task == "generate" or (recipe.task == "auto" and continues(samples.resolve(recipe.data)))


def material_of(recipe: Recipe, talk: Talk) -> Material:
    """The data, made ready for its task. Raises UserError for what can't be read, or isn't of the task."""
    check = check_plain if continues(samples.resolve(recipe.data)) else check_rows
    check(recipe.asked(), recipe.data)
    if generates(recipe):
        return Text(prepare(recipe.data, recipe.codec, recipe.split, _runs_of(recipe), talk.warn))
    return prepare_table(recipe)


def _build(recipe: Recipe, material: Material, device: torch.device) -> Model:
    """The model with its initial weights: the same for a seed on every device, since they're drawn on the CPU."""
    torch.manual_seed(recipe.seed)
    if material.reads != "pairs" and (recipe.model.attention or recipe.model.reader):
        raise UserError(
            "model.attention and model.reader are for a source and its target: task=translate, and task=transcribe with "
            "model.attention=."
        )
    if material.reads != "series" and recipe.model.patch is not None:
        raise UserError("model.patch makes tokens of a series' steps: it is for task=forecast.")
    model = build(material.spec(recipe.model))
    material.begin(model)
    model.task = material.task(model, recipe)
    return model.to(device)


def _runs_of(recipe: Recipe) -> Path:
    return Path(recipe.out).parent if recipe.out else Path(recipe.runs)


def pinned(recipe: Recipe) -> Recipe:
    """The recipe with `budget=@last` as `budget=@NAME`: written down, it means the same run tomorrow.

    Raises UserError where there is no such run.
    """
    if not recipe.budget.startswith("@"):
        return recipe
    runs = _runs_of(recipe)
    path = Run.open(Budget.parse(recipe.budget).run, runs).path
    name = path.relative_to(runs) if path.is_relative_to(runs) else path
    return replace(recipe, budget=f"@{name.as_posix()}")


def plan_of(setup: Setup) -> Plan:
    """The plan that the recipe's budget gives. Raises UserError for `+10m` without a run to add it to."""
    budget = Budget.parse(setup.recipe.budget)
    if budget.extends:
        raise UserError(
            f"budget={setup.recipe.budget}: the plus adds to a run that there is already; say which with resume=RUN."
        )
    if budget.unit == "run":
        other = Run.open(budget.run, _runs_of(setup.recipe))
        return Plan(**(other.plan or {})).repeated(other.name)
    return Plan.of(budget, setup.tokens_a_step, setup.flops_a_step)
