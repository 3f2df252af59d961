"""From a recipe to everything a run needs: open keys decided, data read, model built, budget turned into a plan."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch

from unrolled.datasets import samples
from unrolled.datasets.asked import check_plain, check_rows
from unrolled.datasets.rows import continues
from unrolled.errors import UserError
from unrolled.model import build, forecasters, known_kinds
from unrolled.training.base import Base, base_of, run_of
from unrolled.training.budget import Budget, Plan, pretty_seconds
from unrolled.training.corpus import prepare
from unrolled.training.defaults import Chosen, fill
from unrolled.training.device import choose_device, choose_dtype
from unrolled.training.features import head_of, whole_of
from unrolled.training.folder import command_of
from unrolled.training.labelled import Labelled
from unrolled.training.learner import Learner, Progress, Sampler, Settings
from unrolled.training.material import Material
from unrolled.training.optimizer import adamw
from unrolled.training.progress import Talk
from unrolled.training.recipe import Recipe
from unrolled.training.rows import Known, prepare_table
from unrolled.training.run import Run
from unrolled.training.starting import refuse, started
from unrolled.training.text import Text
from unrolled.training.tuning import plain, tuned

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
    body: Model | None = None  # what stands still, where a head trains by itself

    def whole(self, model: Model) -> Model:
        """What is saved and used: the model, under its body where it is a head by itself."""
        return model if self.body is None else whole_of(self.body, model)

    def learnt(self, whole: Model) -> Model:
        """The part of a saved model that is scored here: all of it, or the head that was trained by itself."""
        return whole if self.body is None else head_of(whole)

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
    base = None if recipe.from_ is None else base_of(recipe.from_, recipe.runs)
    origin = None if base is None else base.facts
    if base is not None:
        refuse(recipe, base)
    material = material or material_of(recipe, talk, base)
    found = material.chosen
    recipe, filled = filled_in(recipe, material, device.type, base)
    chosen = [*filled, *found]
    bfloat16, dtype_reason = choose_dtype(recipe.dtype, device, talk.warn)
    if recipe.dtype == "auto":
        recipe = replace(recipe, dtype="bfloat16" if bfloat16 else "float32")
        chosen.append(Chosen("dtype", recipe.dtype, dtype_reason))
    model, drawn = _build(recipe, material, device, base)
    if recipe.tune.how == "head" and (below := [name for name in drawn if not name.startswith("head.")]):
        raise UserError(
            f"tune=head: {below[0]} was drawn anew, or has another vocabulary, and would stand still so. Say tune=full."
        )
    body = model if recipe.tune.how == "head" else None
    if body is not None:
        model = _read_once(body, material, talk)
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
    del base  # its weights were copied, or are the model's
    way = recipe.tune if origin is not None and body is None else None
    trained = plain(model) if way is None else tuned(model, way, _pass_of(material, sampler), drawn)
    learner = Learner(
        model,
        adamw(trained.parts, settings.lr, settings.betas, settings.weight_decay),
        sampler,
        settings,
        Progress(Plan()),
        trained,
    )
    if origin is not None:
        material.facts["from"] = origin
    said = sources | {choice.key: choice.reason for choice in chosen}
    return Setup(
        recipe, chosen, said, material, device, bfloat16, dtype_reason, learner, command, notes, body
    )


def _read_once(body: Model, material: Material, talk: Talk) -> Model:
    """The head by itself, over rows that the body has read once and for all."""
    if not isinstance(material, Labelled):
        raise UserError("tune=head: a new head is for rows with answers. Say tune=full.")
    began = perf_counter()
    body.eval()
    material.read_by(body)
    talk.say(f"features  {material.amounts()}: read in {pretty_seconds(perf_counter() - began)}, once")
    return head_of(body)


def filled_in(
    recipe: Recipe, material: Material, device: str, base: Base | None = None
) -> tuple[Recipe, list[Chosen]]:
    """The recipe with what was found out about its data and every open key decided, and the latter decisions."""
    recipe = replace(recipe, **{choice.key: choice.value for choice in material.chosen})
    if base is not None:
        recipe, decided = started(recipe, base, material.reads, device, material.rows)
        filled, chosen = fill(recipe, [base.name], device, material.reads, shaped=True)
        return _often(filled, material), [*decided, *chosen]
    small = (
        material.reads != "text" and material.rows < SMALL and recipe.batch is None and recipe.accumulate == 1
    )
    if small:
        recipe = replace(recipe, batch=FEW)
    kinds = forecasters() if material.reads == "series" else known_kinds(whole=recipe.task != "generate")
    filled, chosen = fill(recipe, kinds, device, material.reads)
    if small:
        chosen.append(Chosen("batch", FEW, f"fewer than {SMALL:,} training examples: more steps a pass"))
    return _often(filled, material), chosen


def _often(recipe: Recipe, material: Material) -> Recipe:
    """Evaluations of rows: these are gone through quickly, and asked a few times each pass or two, a plateau is seen when
    it is there.
    """
    if (
        not recipe.patience
        or recipe.evaluate_every is not None
        or not recipe.batch
        or material.reads == "text"
    ):
        return recipe
    passes = 2 * material.rows // recipe.batch
    return replace(recipe, evaluate_every=max(LEAST_BETWEEN, min(MOST_BETWEEN, passes)))


def generates(recipe: Recipe) -> bool:
    """Whether it goes on with text: as asked or, where it doesn't say, as its files suggest. Raises UserError for none."""
    return recipe.task == "generate" or (recipe.task == "auto" and continues(samples.resolve(recipe.data)))


def material_of(recipe: Recipe, talk: Talk, base: Base | None = None) -> Material:
    """The data, made ready for its task, read with the codec of a base unless another is asked for. Raises UserError for
    what can't be read, or isn't of the task.
    """
    check = check_plain if continues(samples.resolve(recipe.data)) else check_rows
    check(recipe.asked(), recipe.data)
    known = base is not None and recipe.codec == "auto"
    if generates(recipe):
        if base is not None:
            base.writes()
        if recipe.samples is not None:
            raise UserError("samples= counts rows with answers, and the task is generate: give it less text.")
        codec: Any = base.codec if base is not None and known else recipe.codec
        return Text(prepare(recipe.data, codec, recipe.split, _runs_of(recipe), talk.warn))
    given = Known(base.codec, base.answers, base.longest) if base is not None and known else None
    return prepare_table(recipe, given)


def _pass_of(material: Material, sampler: Sampler) -> int:
    """Steps of one pass over the training part."""
    return max(1, round(material.epoch / max(1, material.targets(sampler.batch(0)))))


def _build(
    recipe: Recipe, material: Material, device: torch.device, base: Base | None
) -> tuple[Model, list[str]]:
    """The model with its initial weights: the same for a seed on every device, since they're drawn on the CPU; and which of
    them a base didn't give.
    """
    torch.manual_seed(recipe.seed)
    if material.reads != "pairs" and (recipe.model.attention or recipe.model.reader):
        raise UserError(
            "model.attention and model.reader are for a source and its target: task=translate, and task=transcribe with "
            "model.attention=."
        )
    if material.reads != "series" and recipe.model.patch is not None:
        raise UserError("model.patch makes tokens of a series' steps: it is for task=forecast.")
    given = None if recipe.tune.how == "scratch" else base
    spec = material.spec(recipe.model, base)
    if given is not None and given.suits(spec, task := material.task(given.model, recipe)):
        given.model.task = task
        return given.model.to(device), []  # so no second copy is needed
    model = build(spec)
    material.begin(model)
    model.task = material.task(model, recipe)
    drawn = [] if given is None else given.give(model, model.task.codec)
    return model.to(device), drawn


def _runs_of(recipe: Recipe) -> Path:
    return Path(recipe.out).parent if recipe.out else Path(recipe.runs)


def pinned(recipe: Recipe) -> Recipe:
    """The recipe with `budget=@last` and `from=@last` under the run's own name: written down, they mean the same tomorrow.

    Raises UserError where there is no such run.
    """
    if recipe.budget.startswith("@"):
        recipe = replace(recipe, budget=f"@{_name_of(Budget.parse(recipe.budget).run, recipe)}")
    if recipe.from_ is not None and isinstance(run_of(recipe.from_, recipe.runs), str):
        recipe = replace(recipe, from_=_name_of(recipe.from_, recipe, recipe.runs))
    return recipe


def _name_of(run: str, recipe: Recipe, runs: str | None = None) -> str:
    """A run's own name, where it lies beside the one to be made; else its folder."""
    path = Run.open(run, runs or _runs_of(recipe)).path
    beside = _runs_of(recipe)
    return (path.relative_to(beside) if path.is_relative_to(beside) else path).as_posix()


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
    return Plan.of(budget, setup.tokens_a_step, setup.flops_a_step, setup.recipe.cooldown)
