"""A command line, taken apart: verb, bare words, key=value pairs, switches and configuration files."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from unrolled.config.sources import split_pairs
from unrolled.errors import UserError

if TYPE_CHECKING:
    from unrolled.config import Resolved

T = TypeVar("T")

FLAGS = {
    "--json": "json",
    "-q": "quiet",
    "--quiet": "quiet",
    "--check": "check",
    "--dry-run": "dry-run",
    "--static": "static",
    "--debug": "debug",
    "-h": "help",
    "--help": "help",
    "--version": "version",
}


@dataclass(frozen=True)
class Arguments:
    """What was typed after `unrolled`."""

    verb: str  # "" if none was named
    words: tuple[str, ...]
    pairs: Mapping[str, str]
    files: tuple[str, ...]
    switches: frozenset[str]

    def say(self, line: str) -> None:
        """One line of talk, unless quiet was asked for."""
        if "quiet" not in self.switches:
            print(line, file=sys.stderr)

    def with_run(self, keys: Any) -> dict[str, Any]:
        """A verb's resolved keys with the run that they name opened, which is said."""
        from unrolled.training.run import Run

        found = Run.open(keys.run, keys.runs)
        self.say(f"run       {found.path}")
        return asdict(keys) | {"run": found}

    def resolve(self, cls: type[T], words: Sequence[str] = ()) -> Resolved[T]:
        """The verb's keys from files, environment and command line; bare words are the values of `words`."""
        from unrolled.config import resolve

        pairs = dict(self.pairs)
        if len(self.words) > len(words):
            extra = self.words[len(words)]
            raise UserError(
                f"unexpected {extra!r}. Values are written key=value; try: unrolled {self.verb} --help"
            )
        for key, word in zip(words, self.words, strict=False):
            if key in pairs:
                raise UserError(f"{key} is given twice: {word!r} and {key}={pairs[key]}.")
            pairs[key] = word
        typed = [f"{key}={value}" for key, value in pairs.items()]
        return resolve(cls, pairs=typed, files=self.files, environ=os.environ, verb=self.verb)


def parse(argv: Sequence[str]) -> Arguments:
    """Takes a command line apart. Raises UserError for a switch that doesn't exist."""
    files: list[str] = []
    switches: set[str] = set()
    rest: list[str] = []
    waiting = list(argv)
    while waiting:
        token = waiting.pop(0)
        if token in ("-c", "--config"):
            if not waiting:
                raise UserError("-c needs the path of a .toml file.")
            files.append(waiting.pop(0))
        elif token in FLAGS:
            switches.add(FLAGS[token])
        else:
            rest.append(token)
    verb = rest.pop(0) if rest and not rest[0].startswith("-") and "=" not in rest[0] else ""
    pairs, words = split_pairs(rest)
    return Arguments(verb, tuple(words), pairs, tuple(files), frozenset(switches))


def no_values(arguments: Arguments) -> None:
    """For a verb without keys. Raises UserError if any value was given."""
    if arguments.words or arguments.pairs or arguments.files:
        given = [
            *arguments.words,
            *(f"{key}={value}" for key, value in arguments.pairs.items()),
            *arguments.files,
        ]
        raise UserError(f"{arguments.verb} takes no values, got {given[0]!r}.")
