"""A model from material in memory: the same set-up, steps and loss as a run's, without a run's folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unrolled.errors import NumericalFailure, UserError
from unrolled.model.weights import load_weights, weights_of
from unrolled.training.defaults import EVALUATIONS
from unrolled.training.device import choose_device
from unrolled.training.forecasting import Forecasting
from unrolled.training.labelled import Labelled
from unrolled.training.loop import Hooks, steps
from unrolled.training.progress import Talk
from unrolled.training.recipe import Recipe
from unrolled.training.setup import Setup, plan_of, set_up

if TYPE_CHECKING:
    from unrolled.model import Model


class Unleaking(Labelled):
    """Rows that somebody else has split: nothing is looked for on both sides of the split."""

    def _leaks(self) -> list[str]:
        return []


def fitted(material: Labelled | Forecasting, recipe: Recipe) -> Model:
    """Trains as `un.train` would and returns the best model by validation, its task fitted and attached; where nothing is
    for validation, the last one. Says nothing; torch's random state and its number of threads stay as they are.

    Raises UserError for a recipe that doesn't suit the data, NumericalFailure where loss or score leave the finite numbers.
    """
    if recipe.nonfinite == "rewind":
        raise UserError(
            "nonfinite=rewind goes back to a checkpoint, and here none is written. Use skip or stop."
        )
    talk = Talk(quiet=True, bar=False)
    with _undisturbed(recipe, talk):
        return _Fit(set_up(recipe, {}, talk, material), material, talk).run()


@contextmanager
def _undisturbed(recipe: Recipe, talk: Talk) -> Iterator[None]:
    """torch as it was before, afterwards."""
    device, threads = choose_device(recipe.device, talk.warn), torch.get_num_threads()
    cards = range(torch.cuda.device_count()) if device.type == "cuda" else ()
    with torch.random.fork_rng(devices=list(cards)):
        try:
            yield
        finally:
            torch.set_num_threads(threads)


class _Fit:
    """The loop's hooks in memory."""

    def __init__(self, setup: Setup, material: Labelled | Forecasting, talk: Talk) -> None:
        self.setup, self.material, self.talk = setup, material, talk
        self.learner = setup.learner
        self.validates = len(material.examples("valid")) > 0
        self._best: dict[str, Tensor] = {}

    def run(self) -> Model:
        recipe, learner, model = self.setup.recipe, self.learner, self.learner.model
        learner.progress.plan = plan_of(self.setup)
        self._every()
        hooks = Hooks(
            record=lambda row: None, evaluate=self._score, save=lambda: None, back=lambda step: None,
            settled=self._every, say=self.talk.say, improved=self._keep,
        )  # fmt: skip
        try:
            for _ in steps(learner, hooks, recipe.log_every or 25, recipe.patience or 0, recipe.nonfinite):
                pass
        except NumericalFailure as error:
            raise NumericalFailure(
                f"after {learner.progress.step} steps loss, gradient or score left the finite numbers. "
                f"Try a lower lr than {learner.settings.lr:g}."
            ) from error
        load_weights(model, self._best, "the best weights")
        if self.validates:
            self.material.settle(model)
        return model.eval()

    def _every(self) -> None:
        """Evaluations at the steps at which a run would make them."""
        progress, asked = self.learner.progress, self.setup.recipe.evaluate_every
        if asked is not None:
            progress.evaluate_every = asked
        elif self.validates and progress.plan.total is not None and not progress.evaluate_every:
            progress.evaluate_every = max(1, progress.plan.total // EVALUATIONS)

    def _score(self) -> float:
        """The objective on the validation part; without one the later weights count as the better ones."""
        if not self.validates:
            return -float(self.learner.progress.step)
        objective = self.material.score(self.learner.model, "valid").objective
        if not isfinite(objective):
            raise NumericalFailure(f"the score on the validation part is {objective}.")
        return objective

    def _keep(self) -> None:
        self._best = {
            name: tensor.detach().clone() for name, tensor in weights_of(self.learner.model).items()
        }
