"""Rows with an answer, whatever it is: read, understood and dealt, then made ready for their task."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from unrolled.datasets import samples
from unrolled.datasets.codecs import codec_from_dict
from unrolled.datasets.dealt import deal_rows, own_of
from unrolled.datasets.rows import Rows
from unrolled.datasets.series_columns import seen_as_series
from unrolled.errors import UserError
from unrolled.training.corpus import Corpus, prepare
from unrolled.training.forecasting import Forecasting, forecasting_of
from unrolled.training.labelled import Labelled, labelled_of
from unrolled.training.paired import Paired, paired_of
from unrolled.training.portable import read_codec
from unrolled.training.recipe import Recipe
from unrolled.training.run import Run


class Known(NamedTuple):
    """What is given already: the codec of what is read, of what is written (for pairs; others' answers are fitted anew),
    and how many steps the model counts, where it counts them.
    """

    codec: Any
    answers: Any
    longest: int | None = None


def prepare_table(recipe: Recipe, known: Known | None = None) -> Labelled | Paired | Forecasting:
    """Reads a table, whatever its task. Raises UserError for what can't be, and where a choice is open."""
    path = samples.resolve(recipe.data)
    if columns := seen_as_series(path, recipe.asked()):
        if known is not None:
            raise UserError("from= isn't built for task=forecast. Leave it out.")
        return forecasting_of(recipe, path, columns)
    return prepare_rows(recipe, known)


def prepare_rows(recipe: Recipe, known: Known | None = None) -> Labelled | Paired:
    """Reads, understands, splits and encodes a table, with what is `known` already or anew.

    Raises UserError for what can't be, and where a choice is open.
    """
    # A text that looks back at its sound is a pair; without attention=, a sound's steps are labelled by CTC.
    path = samples.resolve(recipe.data)
    if recipe.task == "forecast":
        raise UserError("this is for runs that answer rows, and a forecast has none: see unrolled forecast.")
    dealt = deal_rows(Rows(path), recipe.asked(), recipe.data, own_of(path))
    listens = dealt.reading.task == "transcribe" and recipe.model.attention is not None
    if listens or dealt.reading.task == "translate":
        return paired_of(recipe, path, dealt, (known.codec, known.answers) if known else None)
    return labelled_of(recipe, path, dealt, known and known.codec, known and known.longest)


def table_of(run: Run) -> Labelled | Paired | Forecasting:
    """The table of a run, whatever its task. Raises UserError for what can't be read any more."""
    return prepare_table(run.recipe) if run.recipe.task == "forecast" else rows_of(run)


def rows_of(run: Run) -> Labelled | Paired:
    """The rows of a run, as its model reads them. Raises UserError for what can't be read any more."""
    known = None
    if run.recipe.from_ is not None:
        task = run.model().task
        known = Known(task.codec, task.answers, task.longest)
    return prepare_rows(replace(run.recipe, vectors=None), known)


def corpus_of(run: Run, data: str | None = None) -> Corpus:
    """The text of a run, or another, split and encoded as its own was. Raises UserError for what can't be read."""
    recipe = run.recipe
    codec: Any = recipe.codec
    if recipe.from_ is not None and data is None:
        codec = codec_from_dict(read_codec(run.path / "model"))
    return prepare(data or recipe.data, codec, recipe.split, run.path.parent)
