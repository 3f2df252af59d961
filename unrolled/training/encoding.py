"""Rows on their way into a part of a data set: encoded block by block, since numpy's calls cost more than their work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unrolled.datasets.examples import Examples
from unrolled.datasets.readers import Record
from unrolled.datasets.store import Block, Store
from unrolled.errors import UserError
from unrolled.tasks.answering import Answering

ROWS = 100  # encoded at a time: what they take stays in the processor's cache
BYTES = 1 << 20  # or fewer, where they are as large as this


class Encoding:
    """Takes the rows of one part in their order and encodes them with the task's codecs. `empty`: the numbers of those in
    which there is nothing to read, which are left out. shuffled: each row's steps in an order of chance.

    `add` and `examples` raise UserError, naming the row, as `Answering.encoded` and `answer` do.
    """

    def __init__(self, task: Answering, shuffled: bool = False) -> None:
        self.task, self.shuffled = task, shuffled
        self.empty: set[int] = set()
        self._store, self._targets = Store(), list[np.ndarray]()
        self._rows, self._steps = list[Record](), list[np.ndarray]()  # waiting; what they became, one by one
        self._size = self._count = 0
        self._many = None if task.longest else getattr(task.codec, "encode_many", None)

    def add(self, row: Record) -> None:
        """The next row."""
        self._rows.append(row)
        if self._many is None:
            self._steps.append(self.task.encoded(row))
            self._size += self._steps[-1].nbytes
        else:
            self._size += sum(len(str(row.get(name))) for name in self.task.inputs)
        if len(self._rows) >= ROWS or self._size >= BYTES:
            self._take_in()

    def examples(self) -> Examples:
        """All of them, once the last one is in."""
        self._take_in()
        targets: Any = self._targets
        if targets and not (self.task.stepwise or self.task.ragged):
            targets = np.concatenate(targets)  # an object a row would take more than a row of words
        return Examples(self._store.ragged(), targets, self.task.stepwise, self.task.ragged)

    def _take_in(self) -> None:
        """What waits goes to the store."""
        if not self._rows:
            return
        rows, block = self._rows, self._block()
        numbers = np.arange(self._count, self._count + len(rows))
        self._count += len(rows)
        self._rows, self._steps, self._size = [], [], 0
        there = block.lengths > 0
        if not there.all():
            self.empty.update(numbers[~there].tolist())
            rows = [row for row, kept in zip(rows, there, strict=True) if kept]
            numbers, block = numbers[there], Block(block.steps, block.lengths[there])
        if not rows:
            return
        targets = self._answers(rows, block)
        if self.shuffled:
            orders = [
                np.random.default_rng([0, number]).permutation(length)
                for number, length in zip(numbers.tolist(), block.lengths.tolist(), strict=True)
            ]
            steps = [x[order] for x, order in zip(block.rows(), orders, strict=True)]
            block = Block(np.concatenate(steps), block.lengths)
            if self.task.stepwise:
                targets = [y[order] for y, order in zip(targets, orders, strict=True)]
        self._store.extend(block)
        self._targets += targets if self.task.stepwise or self.task.ragged else [np.asarray(targets)]

    def _block(self) -> Block:
        """The steps of the rows that wait."""
        if self._many is not None:
            values = [self.task.value(row) for row in self._rows]
            if all(value is not None for value in values):
                try:
                    block: Block = self._many(values)
                except UserError:
                    pass  # one by one, the row is named
                else:
                    return block
            self._steps = [self.task.encoded(row) for row in self._rows]
        lengths = np.array([len(steps) for steps in self._steps], np.int64)
        return Block(np.concatenate([x for x in self._steps if len(x)] or self._steps[:1]), lengths)

    def _answers(self, rows: list[Record], block: Block) -> Sequence[np.ndarray] | np.ndarray:
        """What is to be said of each row: all in one array, or one a row where answers have lengths of their own."""
        task = self.task
        if (
            len(task.targets) == 1
            and not (task.stepwise or task.ragged)
            and hasattr(task.answers, "encode_many")
        ):
            values, origins = [row.get(task.target) for row in rows], [str(row["origin"]) for row in rows]
            found: np.ndarray = task.answers.encode_many(values, origins)
            return found
        pairs = zip(rows, block.rows(), strict=True)
        each = [task.answer(row, steps) for row, steps in pairs]
        return each if task.stepwise or task.ragged else np.stack(each)
