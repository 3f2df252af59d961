"""Model <-> plain dict, and the named shapes that `model=lstm` stands for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from unrolled.errors import UserError, unknown
from unrolled.mixer import Mixer
from unrolled.mixers import MIXERS
from unrolled.model.core import Core
from unrolled.model.embedders import EMBEDDERS, TokenEmbedder
from unrolled.model.heads import HEADS
from unrolled.model.media_embedders import FrameEmbedder
from unrolled.model.model import Model
from unrolled.model.seq2seq import Seq2Seq, SourceReader

Spec = dict[str, Any]


def build(spec: Mapping[str, Any]) -> Model:
    """The model a plain dict describes. Raises UserError for an unknown key or kind, naming the nearest known one.

    {"embedder": {"kind": "tokens", "vocabulary": 84, "width": 64},
     "core": {"layers": [{"kind": "lstm", "width": 256, "inputs": 64}], "dropout": 0.2},
     "head": {"kind": "tokens", "tied": false}}

    With "source": {"embedder": ..., "core": ..., "bridge": "mapped" or "handed"} a `Seq2Seq`, whose target the rest
    describes; "embedder": "shared" there: one table for both.
    """
    parts = _keys("model", spec, {"embedder", "core", "head"}, {"source"})
    embedder = _construct("embedder", EMBEDDERS, parts["embedder"])
    core = build_core(_table("core", parts["core"]), inputs=embedder.width)
    head = _table("head", parts["head"]) | {"width": core.width}
    if head.get("kind") == "tokens":
        if not isinstance(embedder, TokenEmbedder):
            raise UserError(
                "head 'tokens': it scores the embedder's tokens, and the embedder is none of tokens."
            )
        tied = embedder.table if head.pop("tied", False) else None
        head = {"vocabulary": embedder.vocabulary, **head, "tied": tied}
    made = _construct("head", HEADS, head)
    kept = deepcopy(dict(parts))
    if "source" not in parts:
        if isinstance(embedder, FrameEmbedder):
            raise UserError(
                "embedder 'frames': it halves the steps, so that no answer is at its step; it is for a source alone."
            )
        return Model(embedder, core, made, kept)
    source = _keys("source", parts["source"], {"embedder", "core"}, {"bridge"})
    read = (
        embedder if source["embedder"] == "shared" else _construct("embedder", EMBEDDERS, source["embedder"])
    )
    reader = SourceReader(read, build_core(_table("core", source["core"]), inputs=read.width))
    return Seq2Seq(embedder, core, made, reader, kept, source.get("bridge", "mapped"))


def build_core(spec: Mapping[str, Any], inputs: int) -> Core:
    """A Core from {"layers": [...], "norm": ..., "residual": ..., "dropout": ..., "input_dropout": ...}."""
    options = _keys("core", spec, {"layers"}, _parameters(Core) - {"mixers"})
    layers: list[Mixer] = []
    for layer in options.pop("layers"):
        given = {"inputs": layers[-1].width if layers else inputs}
        layers.append(_construct("mixer", MIXERS, given | _table("mixer", layer)))
    try:
        return Core(layers, **options)
    except TypeError as error:
        raise UserError(f"core: {error}") from error


def _parameters(kind: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(kind).parameters) - {"self"}


def _keys(
    what: str, spec: Mapping[str, Any], needed: set[str], allowed: set[str] | None = None
) -> dict[str, Any]:
    spec = _table(what, spec)
    for key in spec:
        if key not in needed | (allowed or set()):
            raise unknown(f"key of {what}", key, needed | (allowed or set()))
    if missing := sorted(needed - set(spec)):
        raise UserError(f"{what}: missing {', '.join(missing)}; got {', '.join(spec) or 'nothing'}.")
    return spec


def _table(what: str, spec: object) -> dict[str, Any]:
    if not isinstance(spec, Mapping):
        raise UserError(f"{what}: got {spec!r}; it must be a table of keys and values.")
    return dict(spec)


def _construct(what: str, table: Mapping[str, Callable[..., Any]], spec: Mapping[str, Any]) -> Any:
    options = _table(what, spec)
    name = options.pop("kind", None)
    if name not in table:
        raise unknown(f"{what} kind", str(name), table)
    known = _parameters(table[name])
    for key in options:
        if key not in known:
            raise unknown(f"key of {what} {name!r}", key, known)
    try:
        return table[name](**options)
    except TypeError as error:
        raise UserError(f"{what} {name!r}: {error}") from error
