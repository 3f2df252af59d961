"""The dispatcher: finds the verb, runs it, prints its result, and turns every error into a message and an exit code."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from unrolled.errors import UnrolledError, UserError


class Terminated(BaseException):
    """SIGTERM came while nothing was training; like KeyboardInterrupt, no `except Exception` stops it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 is no reason to fail
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        _dispatch(argv)
        sys.stdout.flush()
        return 0
    except BaseException as error:
        return _answer(error, debug="--debug" in argv)
    finally:
        signal.signal(signal.SIGTERM, before)


def _dispatch(argv: list[str]) -> None:
    from unrolled.cli import help
    from unrolled.cli.arguments import parse
    from unrolled.cli.table import OF_VERBS, VERBS, load

    if not argv:
        print(help.examples())
        return
    arguments = parse(argv)
    if "version" in arguments.switches:
        from unrolled import __version__

        print(__version__)
        return
    if not arguments.verb:
        if "help" not in arguments.switches:
            raise UserError(f"no verb. Verbs: {', '.join(VERBS)}; try: unrolled --help")
        print(help.overview())
        return
    file = load(arguments.verb)
    if "help" in arguments.switches:
        print(help.of_verb(arguments.verb, file))
        return
    for switch in OF_VERBS & arguments.switches - set(file.SWITCHES):
        raise UserError(f"{arguments.verb} has no --{switch}; try: unrolled {arguments.verb} --help")
    result = file.run(arguments)
    if "json" in arguments.switches:
        from unrolled.cli.output import document

        text = document(arguments.verb, result)
    else:
        text = file.brief(result) if "quiet" in arguments.switches else file.show(result)
    if text:
        print(text)
    # What is held against figures is shown first, met or not.
    if callable(require := getattr(result, "require", None)):
        require()


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _answer(error: BaseException, debug: bool) -> int:
    """Says what went wrong on stderr and returns the exit code."""
    if isinstance(error, BrokenPipeError):  # whoever read our output has enough: not a failure
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if debug:
        import traceback

        traceback.print_exception(error)
    code, message = explained(error)
    print(f"unrolled: {message}", file=sys.stderr)
    return code


def explained(error: BaseException) -> tuple[int, str]:
    """The exit code and the message of an error."""
    if isinstance(error, UnrolledError):
        return error.exit_code, str(error)
    if isinstance(error, KeyboardInterrupt):
        return 130, "interrupted."
    if isinstance(error, Terminated):
        return 143, "terminated."
    if isinstance(error, SystemExit):
        return (error.code if isinstance(error.code, int) else 1), "stopped."
    if isinstance(error, MemoryError) or _out_of_memory(error):
        return (
            1,
            f"out of memory ({_first(error) or 'of this machine'}). Try a smaller batch, length or model.",
        )
    if isinstance(error, OSError):
        where = f" at {error.filename}" if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return 1, f"the disk is full{where}. Free some space, or write elsewhere with runs= or out=."
        return 1, f"{error.strerror or _first(error)}{where}."
    hint = "This is a fault in unrolled: run again with --debug for the traceback."
    return 1, f"{type(error).__name__}: {_first(error)}. {hint}"


def _out_of_memory(error: BaseException) -> bool:
    """torch's own errors, told apart without importing torch."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def _first(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
