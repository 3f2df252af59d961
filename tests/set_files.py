"""Small files and sets of them, for the tests of named sets."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from unrolled.datasets.sets import DataSet, SetFile
from unrolled.errors import UserError


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def of_files(*files: SetFile, **more: Any) -> DataSet:
    facts = {"what": "", "source": "somewhere", "licence": "", "split": "", "metric": "", "records": "text"}
    return DataSet("toy", files=files, **{**facts, "folder": "toy", **more})


def refusal(act: Callable[[], Any], kind: type[Exception] = UserError) -> str:
    with pytest.raises(kind) as caught:
        act()
    return str(caught.value)


def zipped(members: dict[str, bytes], **how: Any) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **how) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def idx(shape: tuple[int, ...], data: bytes, kind: int = 8, magic: bytes = b"\0\0") -> bytes:
    return magic + bytes((kind, len(shape))) + b"".join(struct.pack(">I", size) for size in shape) + data
