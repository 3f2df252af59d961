"""Where a line of code stands now: `unrolled/mixers/recurrent.py: LSTM.cell.c` -> file, line and the line's text.

A stop names code by symbol, so that what it says about the code never goes stale.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unrolled.errors import UserError, nearest

ROOT = Path(__file__).parents[2]  # of the package: references begin with `unrolled/`


@dataclass(frozen=True)
class Place:
    """A line of our code."""

    file: str  # as in the reference: unrolled/mixers/recurrent.py
    line: int  # from 1
    text: str  # the line itself, without indentation

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def find(reference: str) -> Place:
    """The place of `FILE: NAME.NAME...`: classes and functions by name, last perhaps a variable's first assignment
    (`NAME#2`: its second).

    Raises UserError, with the nearest name, when the file or a name isn't there.
    """
    file, _, dotted = (part.strip() for part in reference.partition(":"))
    path = ROOT / file
    if not path.is_file() or not dotted:
        raise UserError(f"reference {reference!r}: no such file; expected unrolled/FILE.py: NAME.NAME")
    source = path.read_text(encoding="utf-8")
    node: ast.AST = ast.parse(source)
    for name in dotted.split("."):
        known: dict[str, ast.AST] = {}
        for bound, at in _names(node):
            known[bound if bound not in known else _next(bound, known)] = at
        if name not in known:
            guess = nearest(name, known)
            raise UserError(
                f"reference {reference!r}: no {name!r} in {file}.{f' Did you mean {guess!r}?' if guess else ''}"
            )
        node = known[name]
    line: int = getattr(node, "lineno", 1)
    return Place(file, line, source.splitlines()[line - 1].strip())


def _next(name: str, known: dict[str, ast.AST]) -> str:
    """`name#2`, or the next that is free."""
    return next(f"{name}#{n}" for n in range(2, len(known) + 3) if f"{name}#{n}" not in known)


def _names(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The names that `node` binds, in order: its classes and functions, and what its statements assign."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            yield child.name, child
            continue
        if isinstance(child, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = child.targets if isinstance(child, ast.Assign) else [child.target]
            for target in targets:
                yield from ((n.id, child) for n in ast.walk(target) if isinstance(n, ast.Name))
        yield from _names(child)
