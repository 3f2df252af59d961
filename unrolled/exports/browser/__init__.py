"""The page of an export: the model in the browser, with every file it needs beside it and nothing fetched from elsewhere.

ONNX Runtime's own files come from the npm package onnxruntime-web, which is looked for and never fetched.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.errors import MissingExtra, UserError
from unrolled.exports.encode import encoders
from unrolled.exports.parity import Difference, summary
from unrolled.exports.proof import proved

if TYPE_CHECKING:
    from unrolled.model import Model

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")  # its smallest build
PAGE = (
    "index.html", "page.css", "page.js", "model.js", "columns.js", "codecs.js", "rows.js", "runtime.js",
)  # fmt: skip
PLACE = "UNROLLED_NODE_MODULES"  # the environment variable that names a node_modules folder


class MissingPackage(MissingExtra):
    """A package of npm is missing: says how to install it. Exit code 4."""

    def __init__(self, package: str, version: str, folder: Path) -> None:
        command = f"npm install --ignore-scripts --prefix {folder} {package}@{version}"
        super(MissingExtra, self).__init__(
            f"to=browser needs the npm package {package}, which holds ONNX Runtime for browsers. Install it once with: "
            f"{command}"
        )


def made(
    model: Model, described: dict[str, Any], weights: str
) -> tuple[dict[str, bytes], list[Difference], list[str]]:
    """The page's files. Raises MissingPackage without onnxruntime-web, CheckFailed beyond parity, UserError for a codec
    that the page can't read with.
    """
    if (described.get("codec") or {}).get("kind") == "tokenizer":
        raise UserError(
            "to=browser: this model came with a tokenizer of its own, which a page can't read. Export it with to=onnx, "
            "whose program can, or to=c."
        )
    runtime = found()
    contents, differences, notes = proved(model, weights)
    files = {name: proto.SerializeToString(deterministic=True) for name, proto in contents.items()}
    if model.task is not None:
        files |= encoders(model.task.codec)
    told = {**described, "parity": summary(differences), "files": sorted(files)}
    files["model.json"] = json.dumps(told, ensure_ascii=False).encode()
    files |= {name: (Path(__file__).parent / name).read_bytes() for name in PAGE}
    files |= {name: (runtime / name).read_bytes() for name in RUNTIME}
    notes.append(
        "serve the folder, browsers load no modules from plain files: python -m http.server -d FOLDER"
    )
    return files, differences, notes


def found() -> Path:
    """The folder that holds onnxruntime-web's build: in UNROLLED_NODE_MODULES, a node_modules of this folder or one above
    it, or the cache. Raises MissingPackage.
    """
    for modules in _modules():
        dist = modules / PACKAGE / "dist"
        if all((dist / name).is_file() for name in RUNTIME):
            return dist
    raise MissingPackage(PACKAGE, VERSION, cache())


def cache() -> Path:
    """Where `npm install --prefix` puts it by the message."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "unrolled"


def _modules() -> Iterator[Path]:
    if named := os.environ.get(PLACE):
        yield Path(named)
    here = Path.cwd()
    yield from (folder / "node_modules" for folder in (here, *here.parents, cache()))
