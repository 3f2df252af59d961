"""The errors a user can meet, each with the exit code the command line answers with (docs: exit codes)."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UnrolledError(Exception):
    """The run failed: device, memory, or a cause of our own. Exit code 1."""

    exit_code = 1


class RunFailed(UnrolledError):
    """Disk full, out of memory, a folder in use: nothing half-written, nothing lost. Exit code 1."""


class UserError(UnrolledError, ValueError):
    """Wrong usage, configuration or input data: says what was got, what was expected and what to do. Exit code 2."""

    exit_code = 2


class MissingExtra(UnrolledError, ImportError):
    """An optional dependency is missing: names the extra to install. Exit code 4."""

    exit_code = 4

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f'{purpose} needs the package {package!r}. Install it with: pip install "unrolled[{extra}]"'
        )


class CheckFailed(UnrolledError):
    """A check asked for was not met (parity, `--check`, `--require`). Exit code 5."""

    exit_code = 5


class NumericalFailure(UnrolledError):
    """The loss or a gradient left the finite numbers and the policy gave up. Exit code 6."""

    exit_code = 6


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None when none comes close."""
    names = {k.lower(): k for k in known}
    matches = get_close_matches(word.lower(), names, n=1, cutoff=0.55)
    return names[matches[0]] if matches else None


def unknown(what: str, got: str, known: Iterable[str]) -> UserError:
    """The error for a name that isn't in a closed table, with the nearest one that is."""
    names = sorted(known)
    guess = nearest(got, names)
    hint = f" Did you mean {guess!r}?" if guess else ""
    return UserError(f"unknown {what} {got!r}.{hint} Known: {', '.join(names)}.")


def positive(where: str, **sizes: object) -> None:
    """Raises UserError, naming it, for a size that isn't a whole number of at least 1."""
    for name, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UserError(f"{where}: {name} is {value!r}; it must be a whole number, at least 1.")
