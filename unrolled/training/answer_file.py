"""A file of answers that grows block by block, in order: killed at any moment, the same command goes on where it stood."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from unrolled import durable
from unrolled.errors import RunFailed, UserError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

SHOWN = ("csv", "jsonl")
ADVICE = "Free some space and run the same command again: it goes on where it stood."


def as_text(rows: Sequence[dict[str, Any]], form: str, columns: Sequence[str] | None = None) -> str:
    """Rows as JSON lines, or as CSV: with the header of all their columns, or, after a header, of these `columns`.

    Raises ValueError for a column that isn't among these.
    """
    if form == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    out = io.StringIO()
    names = columns or list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, names, lineterminator="\n")
    if columns is None:
        writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


class AnswerFile:
    """`path`, written by way of a hidden file beside it that a note says how far to trust.

    depends: what the answers follow from (weights, files, keys) as plain data. A half-written file of the same is gone on
    with, `rows` tells after how many; one of anything else is begun anew. None: always anew.
    """

    def __init__(self, path: Path, form: str, depends: dict[str, Any] | None = None) -> None:
        self.path, self.form = path, form
        self.depends = None if depends is None else {**depends, "form": form}
        self.rows = 0
        self._columns: list[str] | None = None
        self._part = path.with_name(f".{path.name}.part")
        self._note = path.with_name(f".{path.name}.part.json")

    def __enter__(self) -> Self:
        with durable.disk(self.path, ADVICE):
            self._file = open(self._part, "ab")  # noqa: SIM115 - closed by __exit__
        try:
            self._lock()
            length = self._taken_up()
        except BaseException:
            self._file.close()
            raise
        self._file.truncate(length)
        self._file.seek(length)
        return self

    def _lock(self) -> None:
        """Raises RunFailed where another process writes the same answers; the system frees the lock of a killed one."""
        if fcntl is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                mine = os.path.samestat(os.fstat(self._file.fileno()), self._part.stat())
            except OSError:
                mine = False  # or the other put what was opened into its place before it was locked
            if not mine:
                raise RunFailed(
                    f"{self.path}: another predict is writing these answers now. Wait for it to end, or name another "
                    "out=."
                )

    def _taken_up(self) -> int:
        """The bytes of a half-written file that hold whole blocks; 0 to begin anew."""
        try:
            note = dict(json.loads(self._note.read_bytes()))
            if (
                self.depends is None
                or note["depends"] != self.depends
                or self._part.stat().st_size < note["bytes"]
            ):
                return 0
        except (OSError, ValueError, KeyError):
            return 0
        self.rows, self._columns = int(note["rows"]), note["columns"]
        return int(note["bytes"])

    def add(self, rows: Sequence[dict[str, Any]], answered: int) -> None:
        """One block of output, which answers so many more rows. Raises UserError for a column that comes late."""
        with durable.disk(self.path, ADVICE):
            self._file.write(self._text(rows).encode())
            self._file.flush()
            os.fsync(self._file.fileno())
            self.rows += answered
            note = {
                "depends": self.depends, "rows": self.rows, "bytes": self._file.tell(), "columns": self._columns,
            }  # fmt: skip
            durable.replace(self._note, json.dumps(note).encode())

    def _text(self, rows: Sequence[dict[str, Any]]) -> str:
        if self._columns is None:
            self._columns = list(dict.fromkeys(name for row in rows for name in row))
            return as_text(rows, self.form)
        try:
            return as_text(rows, self.form, self._columns)
        except ValueError as error:
            raise UserError(
                f"{self.path}: a row has a column that the first {self.rows} rows had not ({error}). Write JSON lines, "
                f"where each row names its own: out={self.path.with_suffix('.jsonl')}"
            ) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Whole: into place. Broken off: what is there stays for the next time."""
        try:
            if kind is None:
                with durable.disk(self.path, ADVICE):
                    os.replace(self._part, self.path)
                    self._note.unlink(missing_ok=True)
                    durable.sync_folder(self.path.parent)
        finally:
            self._file.close()
