"""The data that ships with the package, and what a `data=` value stands for: a shipped name, a named set, a file, a
folder or a glob.
"""

from __future__ import annotations

import re
from pathlib import Path

from unrolled.datasets import sets
from unrolled.datasets.aligned import two_files
from unrolled.datasets.holdings import located
from unrolled.datasets.readers import WILD, missing
from unrolled.errors import UserError, nearest

FOLDER = Path(__file__).parent / "samples"
TERM = re.compile(r" ?[;:(\[]|\. ")  # ends the first term of a cell


def names() -> dict[str, list[Path]]:
    """Shipped name -> its files. The name is the file's own up to the first full stop."""
    found: dict[str, list[Path]] = {}
    for path in sorted(FOLDER.iterdir()):
        if not path.name.startswith(".") and not path.name.endswith((".md", ".LICENSE.txt")):
            found.setdefault(path.name.split(".")[0], []).append(path)
    return found


def resolve(data: str) -> Path:
    """The path of a shipped set, a named one, a file, a folder or a glob. A name wins; write `./irish` for one's own
    file.

    Two files that belong together line by line are named with a comma between. A set of several files resolves to the glob that matches them, a named one to the file of facts that stands for it
    (`sets.of`), or, where it is text, to the text itself. Raises UserError with the nearest known name, and for a public
    set that isn't on this machine.
    """
    shipped = names()
    if data in sets.names():  # also what is made of a shipped file: its columns have names, and it may have a split
        return _path_of(sets.named(data))
    if data in shipped:
        files = shipped[data]
        return files[0] if len(files) == 1 else FOLDER / f"{data}.*"
    if not data.strip():
        raise UserError(
            f"data is empty. Expected a file, a folder, a glob or a shipped name: {', '.join(shipped)}."
        )
    if (both := two_files(data)) is not None:
        return both
    path = Path(data).expanduser()
    if path.exists() or WILD.search(data):
        return path
    guess = nearest(data, [*shipped, *sets.names()])
    if path.name != data or path.suffix:  # it looks like a path, so the folder beside it is the better helper
        raise missing(path)
    hint = f" Did you mean {guess!r}?" if guess else ""
    raise UserError(
        f"unknown data {data!r}: no such file or folder, and no shipped set.{hint} "
        f"Shipped: {', '.join(shipped)}. Others by name: {', '.join(sets.names())}."
    )


def _path_of(wanted: sets.DataSet) -> Path:
    files = located(wanted)
    return next(iter(files.values())) if wanted.records == sets.TEXT else wanted.path


def listing() -> list[tuple[str, str, str]]:
    """(name, what it is, licence) of every shipped set, from the table in LICENSES.md."""
    says: dict[str, tuple[str, str]] = {}
    for line in (FOLDER / "LICENSES.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().replace("*", "") for cell in line.split("|")]
        if len(cells) > 5 and cells[1].startswith("`"):
            terms = cells[2], TERM.split(cells[5])[0]
            says.setdefault(cells[1].strip("`").split(".")[0], terms)
    return [(name, *says.get(name, ("", ""))) for name in names()]
