"""What people say of a table, as the keys of a command; and what is asked back where that leaves a choice open."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields

from unrolled.errors import UserError

OFFERED = 3  # commands


@dataclass(frozen=True)
class Asked:
    """What the user said of the table. None: to be found. `input`, `target`: one column, or several with commas. `group`:
    "auto" is to be found, None is none; `held`: its values that are the test. `id` ("auto" and None likewise), `time`:
    the columns that make rows steps of sequences. `shares`: of train, valid and test.
    """

    task: str | None = None
    input: str | None = None
    target: str | None = None
    group: str | None = "auto"
    held: str | None = None
    id: str | None = "auto"
    time: str | None = None
    codec: str = "auto"
    shares: tuple[float, float, float] | None = None

    def keys(self) -> dict[str, str]:
        """The keys that say so on a command line, of those that say anything."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        if shares := said.pop("shares", None):
            said["split"] = ",".join(map(str, shares))
        return {key: "none" if value is None else str(value) for key, value in said.items()}


KEYS = tuple(
    "split" if f.name == "shares" else f.name for f in fields(Asked)
)  # as they are called in commands
ABOUT_COLUMNS = ("input", "target", "group", "held", "id", "time")


class Open(UserError):
    """A table without one reading. `says`: what is open; `readings`: what would settle it, the likeliest first."""

    def __init__(self, says: str, data: str, readings: Sequence[Asked]) -> None:
        self.says, self.data, self.readings = says, data, tuple(readings)
        super().__init__(self.with_commands(self.readings))

    def with_commands(self, readings: Sequence[Asked], typed: Sequence[str] = ()) -> str:
        """The question with the first of these readings as commands; `typed`: other words that they keep."""
        if not readings:
            return self.says
        commands = [command(self.data, reading, typed) for reading in readings[:OFFERED]]
        return "\n".join([f"{self.says} Say so, for instance:", *(f"  {one}" for one in commands)])


def command(data: str, asked: Asked, typed: Sequence[str] = ()) -> str:
    """The command that trains on this reading, to be pasted into a shell. `typed`: words that were given beside it."""
    keys = {"data": data, **asked.keys()}
    return shlex.join(["unrolled", "train", *(f"{key}={value}" for key, value in keys.items()), *typed])


def listed(names: str | None) -> tuple[str, ...]:
    """The names that a text lists with commas between; none of None."""
    return tuple(name.strip() for name in names.split(",") if name.strip()) if names else ()


def check_plain(asked: Asked, data: str) -> None:
    """Raises UserError for keys that plain text has no use for: it has no columns and no answers."""
    if asked.task not in (None, "generate"):
        raise UserError(
            f"{data}: task={asked.task} needs rows with an answer (.csv, .jsonl, .ts ...), and this is plain text."
        )
    if said := [f"{key}={value}" for key, value in asked.keys().items() if key in ABOUT_COLUMNS]:
        raise UserError(
            f"{data}: {' '.join(said)} is about the columns of a table, and this is plain text, which is gone on with. "
            "Leave it out; or, to have rows answered, bring them as a table (.csv, .jsonl ...) with a column of answers."
        )


def check_rows(asked: Asked, data: str) -> None:
    """Raises UserError for what only plain text can be asked."""
    if asked.task == "generate":
        raise UserError(f"{data}: task=generate goes on with text (.txt, .md, .abc), and this is a table.")
