"""Parquet to records, a batch of rows at a time (extra `data`: pyarrow)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.datasets.values import Record, Series, narrowed, renamed, renaming, sequence
from unrolled.errors import MissingExtra, UserError

MARK = b"PAR1"
ROWS = 1024  # read at a time
BOMB_BYTES, BOMB_RATIO = 4_000_000_000, 1000  # a row group that declares both is refused


def read_parquet(path: Path) -> Iterator[Record]:
    """`{"origin": "file:row", column: value}`, rows counted from 1: texts, numbers, booleans and None as they are,
    dates and times in ISO form, lists as in JSON lines.

    Columns of other kinds (binary, structs, maps) are left out aloud. Raises UserError for a damaged file,
    MissingExtra without pyarrow.
    """
    _check_marks(path)
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("pyarrow", "data", f"reading {path}") from None
    row = 0
    try:
        with parquet.ParquetFile(path) as file:
            columns, notes = _columns(path, file.schema_arrow)
            _check_sizes(path, file.metadata)
            for batch in file.iter_batches(ROWS, columns=list(columns), use_threads=False):
                values = [_values(batch.column(name)) for name in columns]
                for cells in zip(*values, strict=True):
                    row += 1
                    record: Record = dict(zip(columns.values(), cells, strict=True))
                    record["origin"] = f"{path.name}:{row}"
                    if notes:
                        record["notes"], notes = notes, []
                    yield record
    except UserError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        says = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(
            f"{path}: damaged, or of a kind that is not read, behind row {row} ({says}). Write it again."
        ) from None
    if not row:
        raise UserError(f"{path}: no rows in this Parquet file. Expected at least one.")


def _check_marks(path: Path) -> None:
    """What can be refused before pyarrow is loaded."""
    if path.suffix.lower() == ".gz":
        raise UserError(f"{path}: Parquet is packed inside already. Unpack it first: gunzip {path.name}")
    try:
        with path.open("rb") as file:
            head = file.read(4)
            size = file.seek(0, 2)
            file.seek(max(0, size - 4))
            tail = file.read(4)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}). Check the file's permissions."
        ) from error
    if not size:
        raise UserError(f"{path}: the file is empty (0 bytes). Check that it was written completely.")
    if head == b"PARE" or tail == b"PARE":
        raise UserError(f"{path}: an encrypted Parquet file. Expected one without encryption.")
    if head != MARK:
        raise UserError(f"{path}: its first bytes are {head!r}, not {MARK!r}: this is no Parquet file.")
    if tail != MARK or size < 12:
        raise UserError(
            f"{path}: its last bytes are {tail!r}, not {MARK!r} (at byte {max(0, size - 4)}): the file is cut short. "
            "Fetch or write it again."
        )


def _check_sizes(path: Path, metadata: Any) -> None:
    packed = max(1, path.stat().st_size)
    for group in range(metadata.num_row_groups):
        declared = metadata.row_group(group).total_byte_size
        if declared > BOMB_BYTES and declared > BOMB_RATIO * packed:
            raise UserError(
                f"{path}: row group {group} declares {declared:,} bytes in a file of {packed:,}: refused as a "
                "decompression bomb. Write it in smaller row groups."
            )


def _columns(path: Path, schema: Any) -> tuple[dict[str, str], list[str]]:
    """Column -> its name in a record, and what is said aloud. Raises UserError for wrong names and for a file
    without a column that can be read.
    """
    from pyarrow import types

    wrong = [
        f"{path}: column {place} has no name. Give it one." for place, name in _places(schema) if not name
    ]
    wrong += [
        f"{path}: column {place} is called {name!r} like another. Expected different names."
        for place, name in _places(schema)
        if schema.names.index(name) < place - 1
    ]
    if wrong:
        raise UserError("\n".join(wrong[:20]))
    left = {field.name: str(field.type) for field in schema if not _readable(field.type, types)}
    given = renamed([name for name in schema.names if name not in left])
    if not given:
        kinds = ", ".join(f"{name}: {kind}" for name, kind in left.items()) or "none at all"
        raise UserError(
            f"{path}: no column that can be read (found {kinds}). Expected texts, numbers or lists."
        )
    notes = renaming(path.name, given)
    if left:
        notes.append(f"{path.name}: left out " + ", ".join(f"{n} ({kind})" for n, kind in left.items()))
    return given, notes


def _places(schema: Any) -> Iterator[tuple[int, str]]:
    return ((place, name) for place, name in enumerate(schema.names, 1))


def _readable(kind: Any, types: Any) -> bool:
    if types.is_dictionary(kind):
        return _readable(kind.value_type, types)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _readable(kind.value_type, types)
    tests = (types.is_string, types.is_large_string, types.is_boolean, types.is_integer, types.is_floating)
    return any(test(kind) for test in (*tests, types.is_decimal, types.is_null, types.is_temporal))


def _values(column: Any) -> list[Any]:
    """A batch of one column as values of records. Raises ValueError in words."""
    import pyarrow
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        return _values(column.dictionary_decode())
    if types.is_temporal(kind):
        return _values(column.cast(pyarrow.string()))
    if types.is_decimal(kind):
        return _values(column.cast(pyarrow.float64()))
    if hasattr(kind, "value_type"):
        inner = kind.value_type
        if types.is_integer(inner) or types.is_floating(inner):
            return [_numbers(scalar) for scalar in column]
        return [None if items is None else sequence(items) for items in column.to_pylist()]
    return [None if cell == "" else cell for cell in column.to_pylist()]


def _numbers(scalar: Any) -> Series | None:
    """A list of numbers, None where the cell is empty; a missing number is NaN."""
    if not scalar.is_valid:
        return None
    return narrowed(np.asarray(scalar.values.to_numpy(zero_copy_only=False)))
