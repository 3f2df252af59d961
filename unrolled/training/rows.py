"""Rows with an answer, whatever it is: read, understood and dealt, then made ready for their task."""

from __future__ import annotations

from unrolled.datasets import samples
from unrolled.datasets.dealt import deal_rows, own_of
from unrolled.datasets.rows import Rows
from unrolled.datasets.series_columns import seen_as_series
from unrolled.errors import UserError
from unrolled.training.forecasting import Forecasting, forecasting_of
from unrolled.training.labelled import Labelled, labelled_of
from unrolled.training.paired import Paired, paired_of
from unrolled.training.recipe import Recipe


def prepare(recipe: Recipe) -> Labelled | Paired | Forecasting:
    """Reads a table, whatever its task. Raises UserError for what can't be, and where a choice is open."""
    path = samples.resolve(recipe.data)
    if columns := seen_as_series(path, recipe.asked()):
        return forecasting_of(recipe, path, columns)
    return prepare_rows(recipe)


def prepare_rows(recipe: Recipe) -> Labelled | Paired:
    """Reads, understands, splits and encodes a table. Raises UserError for what can't be, and where a choice is open."""
    # A text that looks back at its sound is a pair; without attention=, a sound's steps are labelled by CTC.
    path = samples.resolve(recipe.data)
    if recipe.task == "forecast":
        raise UserError("this is for runs that answer rows, and a forecast has none: see unrolled forecast.")
    dealt = deal_rows(Rows(path), recipe.asked(), recipe.data, own_of(path))
    listens = dealt.reading.task == "transcribe" and recipe.model.attention is not None
    return (paired_of if listens or dealt.reading.task == "translate" else labelled_of)(recipe, path, dealt)
