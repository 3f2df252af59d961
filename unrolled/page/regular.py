"""Opening a file that others may have put there: only a regular one, for a pipe would keep the page waiting forever."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO


def regular(path: Path) -> BinaryIO:
    """The file, open for reading bytes. Raises OSError as `open` does, and for what isn't a regular file."""
    found = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise OSError(f"{path}: not a regular file")
    return os.fdopen(found, "rb")
