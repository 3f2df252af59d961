"""Whole records that wait for their answers: those of several requests are answered together, some steps at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

TOGETHER = 4_096  # steps of records answered between two steps of the batch


class Records:
    """Encoded records of one request, to be answered together. `tell` gets the task's answers, None where it failed."""

    def __init__(self, inputs: Sequence[np.ndarray], tell: Callable[[Any], None]) -> None:
        self.inputs, self.tell = list(inputs), tell
        self.said: list[Any] = []
        self.gone = False


class Whole:
    """The requests in line, oldest first."""

    def __init__(self) -> None:
        self.jobs: deque[Records] = deque()

    def some(self) -> list[tuple[Records, np.ndarray]]:
        """The next records, at least one if there is any and then as many as `TOGETHER` allows."""
        found: list[tuple[Records, np.ndarray]] = []
        steps = 0
        for job in self.jobs:
            for record in [] if job.gone else job.inputs[len(job.said) :]:
                if found and steps + len(record) > TOGETHER:
                    return found
                found.append((job, record))
                steps += len(record)
        return found

    def take(self, asked: Sequence[tuple[Records, np.ndarray]], said: Sequence[Any]) -> list[Records]:
        """Hands the answers to their requests -> those that are complete."""
        for (job, _), one in zip(asked, said, strict=True):
            job.said.append(one)
        jobs = list(dict.fromkeys(job for job, _ in asked))
        return [job for job in jobs if len(job.said) == len(job.inputs)]

    def settled(self) -> int:
        """Drops what is complete, or nobody waits for -> how many records that were."""
        over = [job for job in self.jobs if job.gone or len(job.said) == len(job.inputs)]
        self.jobs = deque(job for job in self.jobs if job not in over)
        return sum(len(job.inputs) for job in over)
