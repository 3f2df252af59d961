"""What people hand to `fit` and `predict`, as sequences and answers: lists, arrays, columns of a data frame."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.labels import name_of
from unrolled.datasets.values import shown
from unrolled.errors import UserError
from unrolled.estimators.partner import ColumnWarning

SHOWN = 5  # names in an error
Kind = Literal["text", "tokens", "series"]
CODECS: dict[str, tuple[str, ...]] = {
    "text": ("words", "characters", "bytes", "bpe", "abc"), "tokens": ("items",), "series": ("values",),
}  # fmt: skip


@dataclass(frozen=True)
class Sequences:
    """`values`: texts, lists of texts, or series (T, C). `features`: the steps of every row of a table,
    `names`: those of its columns.

    `table`: it came as one, so that another number of features is a mistake; in a list it is another length.
    """

    kind: Kind
    values: list[Any]
    features: int | None = None
    names: tuple[str, ...] | None = None
    table: bool = False


def sequences(given: Any) -> Sequences:
    """Texts; lists of texts; series (T,) or (T, C) of any lengths; an array (n, T) or (n, T, C). NaN and None are missing.

    Raises ValueError (UserError) for anything else, TypeError for sparse matrices and cells that are no numbers.
    """
    if hasattr(given, "toarray") and hasattr(given, "nnz"):
        raise TypeError(
            f"a sparse matrix ({type(given).__name__}) has no order of steps to read. Give it as X.toarray()."
        )
    names = _column_names(given)
    if hasattr(given, "to_numpy"):
        given = given.to_numpy()
    elif hasattr(given, "__array__"):
        given = np.asarray(given)
    if isinstance(given, np.ndarray):
        return _of_array(given, names)
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise UserError(f"X is {shown(given)}. Expected a list or an array of sequences.")
    return _of_list(given)


def _column_names(given: Any) -> tuple[str, ...] | None:
    """Of a data frame whose columns are all named by texts."""
    columns = list(getattr(given, "columns", ()))
    return tuple(columns) if columns and all(isinstance(name, str) for name in columns) else None


def _of_array(array: NDArray[Any], names: tuple[str, ...] | None) -> Sequences:
    if array.dtype.kind == "c":
        raise UserError("Complex data not supported: give real and imaginary part as two channels.")
    if not array.ndim or not len(array):
        raise _nothing("sample", array.shape)
    if 0 in array.shape[1:]:
        raise _nothing("feature", array.shape)
    if array.dtype.kind in "UST" or (array.dtype.kind == "O" and _words(array.ravel())):
        flat = array.ndim == 1 or array.shape[1:] == (1,)
        return _of_list(array.reshape(-1).tolist() if flat else array.tolist())
    if array.ndim == 1 and array.dtype.kind == "O":
        return _of_list(array.tolist())
    if array.ndim == 1:
        raise UserError(
            "Expected 2D array, got 1D array instead: X is a single series, or one number a sequence. Reshape your data: "
            "X.reshape(1, -1) is one sequence of many steps, X.reshape(-1, 1) many sequences of one."
        )
    if array.ndim > 3:
        raise UserError(f"X has the shape {array.shape}. Expected (n, steps) or (n, steps, channels).")
    if array.dtype.kind == "O":
        array = np.array([np.nan if _missing(v) else v for v in array.ravel()], object).reshape(array.shape)
    numbers = array.astype(np.float64)
    table = array.ndim == 2
    rows = list(numbers[:, :, None] if table else numbers)
    return Sequences("series", rows, array.shape[1] if table else None, names if table else None, table)


def differing(names: Sequence[str], fitted: Sequence[str]) -> str:
    """How a data frame's columns differ from those it was fitted to, in words; empty where they don't."""
    found = []
    for what, some in (
        ("Feature names unseen at fit time", sorted(set(names) - set(fitted))),
        ("Feature names seen at fit time, yet now missing", sorted(set(fitted) - set(names))),
    ):
        if some:
            found.append("\n- ".join([f"{what}:", *some[:SHOWN], *(["..."] if len(some) > SHOWN else [])]))
    if not found and list(names) != list(fitted):
        found.append("Feature names must be in the same order as they were in fit.")
    return "".join(f"{line}\n" for line in found)


def _nothing(what: str, shape: tuple[int, ...]) -> UserError:
    return UserError(f"Found array with 0 {what}(s) (shape={shape}) while a minimum of 1 is required.")


def _of_list(items: Sequence[Any]) -> Sequences:
    if not len(items):
        raise _nothing("sample", (0,))
    if _words(items):
        return Sequences("text", [_text(item, row) for row, item in enumerate(items)])
    if any(isinstance(item, (list, tuple)) and _words(item) for item in items):
        return Sequences("tokens", [_tokens(item, row) for row, item in enumerate(items)])
    rows = [_series(item, row) for row, item in enumerate(items)]
    lengths = {len(row) if np.ndim(item) == 1 else -1 for item, row in zip(items, rows, strict=True)}
    plain = len(lengths) == 1 and not any(hasattr(item, "__array__") for item in items)
    return Sequences("series", rows, lengths.pop() if plain and min(lengths) > 0 else None)


def _words(items: Sequence[Any] | NDArray[Any]) -> bool:
    """Whether the first item that isn't missing is a text."""
    return isinstance(next((item for item in items if not _missing(item)), None), str)


def _missing(item: Any) -> bool:
    """None, NaN and what pandas writes for them."""
    if isinstance(item, (float, np.floating)):
        return bool(np.isnan(item))
    return item is None or type(item).__name__ == "NAType"


def _text(item: Any, row: int) -> str:
    """A missing text is an empty one."""
    if not isinstance(item, str) and not _missing(item):
        raise UserError(f"X[{row}] is {shown(item)} among texts. Expected a text.")
    return item if isinstance(item, str) else ""


def _tokens(item: Any, row: int) -> list[str | None]:
    if not isinstance(item, (list, tuple)) or any(not isinstance(t, str) and not _missing(t) for t in item):
        raise UserError(f"X[{row}] is {shown(item)} among lists of texts. Expected a list of texts.")
    return [token if isinstance(token, str) else None for token in item]


def _series(item: Any, row: int) -> NDArray[np.float64]:
    """(T, C)."""
    try:
        array = np.asarray(item, np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"X[{row}] is {shown(item)}: {error}. Expected numbers (steps,) or (steps, channels)."
        ) from error
    if array.ndim not in (1, 2):
        raise UserError(
            f"X[{row}] has the shape {array.shape}. Expected 2D array-like X: a list of series, each (steps,) or "
            "(steps, channels). Reshape your data."
        )
    return array if array.ndim == 2 else array[:, None]


def labels(given: Any, rows: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The classes, sorted, and each row's number among them. Raises ValueError for anything but one label a row."""
    array = _answers(given, rows)
    if array.ndim > 1:
        raise UserError(
            f"y should be a 1d array, got an array of shape {array.shape} instead: one label a row."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UserError("Input y contains NaN or infinity. Expected a label in every row.")
    if array.dtype.kind not in "biufUSTO" or (array.dtype.kind == "f" and (array != np.floor(array)).any()):
        kind = "continuous" if array.dtype.kind == "f" else str(array.dtype)
        raise UserError(f"Unknown label type: {kind}. Expected classes; for numbers use SequenceRegressor.")
    if array.dtype.kind == "O" and (gone := [row for row, label in enumerate(array) if _missing(label)]):
        raise UserError(
            f"Input y contains NaN or None, first in row {gone[0]}. Expected a label in every row."
        )
    try:
        classes, codes = np.unique(array, return_inverse=True)
    except TypeError as error:
        raise UserError(f"Unknown label type: labels that can't be sorted together ({error}).") from error
    return classes, codes.astype(np.int64)


def named(classes: NDArray[Any]) -> list[str]:
    """The classes as texts that differ, as a model's file keeps them."""
    names = [name_of(label) for label in classes]
    if len({*names, ""}) == len(names) + 1:
        return names
    return [f"({number}) {name}".strip() for number, name in enumerate(names)]


def numbers(given: Any, rows: int) -> NDArray[np.float64]:
    """(n,) or (n, K). Raises ValueError for anything that isn't a finite number in every row."""
    array = _answers(given, rows)
    if array.ndim > 2 or 0 in array.shape[1:]:
        raise UserError(f"y has the shape {array.shape}. Expected a number a row, or (n, K).")
    try:
        found = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"y holds more than numbers: {error}. For classes use SequenceClassifier.") from error
    if not np.isfinite(found).all():
        raise UserError("Input y contains NaN or infinity. Expected a finite number in every row.")
    return found


def _answers(given: Any, rows: int) -> NDArray[Any]:
    """As an array; a column of one is taken for the answers themselves, with a warning."""
    if given is None:
        raise UserError("requires y to be passed, but the target y is None: an answer to each sequence of X.")
    if hasattr(given, "toarray") and hasattr(given, "nnz"):
        raise TypeError("y is a sparse matrix. Give it as y.toarray().")
    try:
        array = np.asarray(given.to_numpy() if hasattr(given, "to_numpy") else given)
    except ValueError as error:
        raise UserError(f"y is no rectangle of answers: {error}") from error
    if not array.ndim or array.dtype.kind == "c":
        raise UserError(f"y should be a 1d array of real answers, got {shown(given)}.")
    if len(array) != rows:
        raise UserError(
            f"Found input variables with inconsistent numbers of samples: X has {rows}, y {len(array)}."
        )
    if array.ndim == 2 and array.shape[1] == 1:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected: it is read as y.ravel().",
            ColumnWarning, stacklevel=4,
        )  # fmt: skip
        return array.ravel()
    return array
