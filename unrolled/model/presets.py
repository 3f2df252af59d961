"""The named shapes: what `model=lstm width=256 layers=1` stands for."""

from __future__ import annotations

from collections.abc import Callable
from math import lcm
from typing import Any

from unrolled.errors import UserError, positive, unknown
from unrolled.mixers import MIXERS
from unrolled.model.spec import Spec

Layers = list[dict[str, Any]]


def _plain(kind: str) -> Callable[[int, int, int], Layers]:
    return lambda width, layers, heads: [{"kind": kind, "width": width} for _ in range(layers)]


def _mingru(width: int, layers: int, heads: int) -> Layers:
    """Convolution over 4 tokens, minGRU, feed-forward: as in the paper's language model (Feng et al. 2024, app. C)."""
    block = [
        {"kind": "conv", "width": width, "kernel": 4, "depthwise": True},
        {"kind": "mingru", "width": width, "expansion": 1.5},
        {"kind": "ffn", "width": width, "hidden": 2 * width},
    ]
    return block * layers


def _convolutions(width: int, layers: int, heads: int) -> Layers:
    """A TCN: the dilation doubles from layer to layer, so reach grows as 2^layers."""
    return [
        part
        for number in range(layers)
        for part in (
            {"kind": "conv", "width": width, "kernel": 3, "dilation": 2**number, "activation": "relu"},
            {"kind": "ffn", "width": width, "hidden": 2 * width},
        )
    ]


def _transformer(width: int, layers: int, heads: int) -> Layers:
    attention = {"kind": "attention", "width": width, "heads": heads}
    return [attention, {"kind": "ffn", "width": width, "hidden": 4 * width}] * layers


def _bidirectional(of: str) -> Callable[[int, int, int], Layers]:
    def layers_of(width: int, layers: int, heads: int) -> Layers:
        return [{"kind": "bidirectional", "width": width, "of": of} for _ in range(layers)]

    return layers_of


def _encoder(width: int, layers: int, heads: int) -> Layers:
    """A Transformer whose every step sees the whole sequence (Vaswani et al. 2017, fig. 1, left)."""
    attention = {"kind": "attention", "width": width, "heads": heads, "causal": False}
    return [attention, {"kind": "ffn", "width": width, "hidden": 4 * width}] * layers


def _window(width: int, layers: int, heads: int) -> Layers:
    above = [{"kind": "ffn", "width": width}] * (layers - 1)
    return [{"kind": "window", "width": width, "context": 16}, *above]


# kind -> (layers of the core, norm and residual around them, width, layers)
PRESETS: dict[str, tuple[Callable[[int, int, int], Layers], bool, int, int]] = {
    "rnn": (_plain("rnn"), False, 256, 1),
    "lstm": (_plain("lstm"), False, 256, 1),
    "gru": (_plain("gru"), False, 256, 1),
    "mingru": (_mingru, True, 160, 2),
    "conv": (_convolutions, True, 128, 6),
    "transformer": (_transformer, True, 128, 4),
    "window": (_window, False, 256, 1),
}
# What sees a whole sequence at once, and so can't continue it.
WHOLE: dict[str, tuple[Callable[[int, int, int], Layers], bool, int, int]] = {
    "bilstm": (_bidirectional("lstm"), False, 256, 1),
    "bigru": (_bidirectional("gru"), False, 256, 1),
    "encoder": (_encoder, True, 128, 2),
    "bag": (lambda width, layers, heads: [], False, 128, 1),
}


def known_kinds(whole: bool = False) -> list[str]:
    """What `model=` takes: the presets, and every other causal mixer of the table with a feed-forward after it. whole:
    also what sees a whole sequence at once (`bag` sees its steps in no order).
    """
    others = {
        name
        for name, kind in MIXERS.items()
        if kind.sublayer and kind.reach.past and not kind.reach.future and not kind.conditioned
    }
    return sorted({*PRESETS, *others, *(WHOLE if whole else ())})


def _shape(kind: str) -> tuple[Callable[[int, int, int], Layers], bool, int, int]:
    if kind in PRESETS or kind in WHOLE:
        return (PRESETS | WHOLE)[kind]
    if kind not in known_kinds():
        raise unknown("model", kind, known_kinds(whole=True))

    def layers_of(width: int, layers: int, heads: int) -> Layers:
        return [{"kind": kind, "width": width}, {"kind": "ffn", "width": width, "hidden": 2 * width}] * layers

    return layers_of, True, 160, 2


def preset(
    kind: str,
    vocabulary: int,
    *,
    width: int | None = None,
    layers: int | None = None,
    heads: int = 4,
    embedding: int | None = None,
    dropout: float = 0.0,
    weight_drop: float = 0.0,
    tied: bool = False,
    hidden: int | None = None,
) -> Spec:
    """The spec of a named model over `vocabulary` tokens. embedding: the table's width, as wide as the core unless given;
    hidden: the width inside its feed-forwards, in the kind's own proportion unless given.

    Raises UserError for an unknown kind (nearest named) and for options the kind hasn't got.
    """
    layers_of, wrapped, default_width, default_layers = _shape(kind)
    width = default_width if width is None else width
    layers = default_layers if layers is None else layers
    positive(f"model {kind!r}", width=width, layers=layers)
    core_layers = [dict(layer) for layer in layers_of(width, layers, heads)]
    if weight_drop:
        if kind not in ("rnn", "lstm", "gru", "bilstm", "bigru"):
            raise UserError(
                f"model {kind!r} has no recurrent weights to drop: weight_drop must be 0, got {weight_drop}."
            )
        core_layers = [{**layer, "weight_drop": weight_drop} for layer in core_layers]
    if hidden is not None:
        if all(layer["kind"] != "ffn" for layer in core_layers):
            raise UserError(f"model {kind!r} has no feed-forward: hidden must not be given, got {hidden}.")
        core_layers = [{**x, "hidden": hidden} if x["kind"] == "ffn" else x for x in core_layers]
    residual = {"norm": "before", "residual": True} if wrapped else {}
    embedding = width if wrapped or embedding is None else embedding
    return {
        "embedder": {"kind": "tokens", "vocabulary": vocabulary, "width": embedding},
        "core": {"layers": core_layers, **residual, "dropout": dropout, "input_dropout": min(dropout, 0.1)},
        "head": {"kind": "tokens", "tied": tied},
    }


def answering(
    kind: str, embedder: Spec, head: Spec, *, pool: str = "mean", stepwise: bool = False, **options: Any
) -> Spec:
    """The spec of a named model that answers instead of going on: `embedder` and `head` are specs without widths, `pool`
    sums up the steps before the head (but for stepwise answers).
    """
    made = preset(kind, 1, **options)
    width = made["embedder"]["width"]
    layers = made["core"]["layers"]
    if not stepwise or not layers:  # of stepwise answers a bag holds one step each
        summed = {"kind": "pool", "width": layers[-1]["width"] if layers else width}
        layers = [*layers, summed | {"reduce": "last" if stepwise else pool}]
    return {
        "embedder": {**embedder, "width": width},
        "core": {**made["core"], "layers": layers},
        "head": head,
    }


# What reads the source of a target of a kind, unless another is named: it may look ahead.
READERS = {"lstm": "bilstm", "gru": "bigru", "transformer": "encoder"}


def paired(
    kind: str, source: Spec, vocabulary: int, *, attention: str = "scaled", reader: str | None = None,
    shared: bool = False, smoothing: float = 0.0, **options: Any,
) -> Spec:  # fmt: skip
    """The spec of a `Seq2Seq`: a target of a named kind over `vocabulary` tokens whose source is read by `reader`, of the
    same options. source: the spec, without a width, of what embeds the source; shared: by the target's own table.

    attention: a score of `CrossAttention`, "recurrent" (`Bahdanau` in place of the last layer) or "none". A recurrent
    target looks back after its last layer (Luong et al. 2015, sec. 3.1), one with residuals in each block, before the
    feed-forward (Vaswani et al. 2017, fig. 1, right).
    """
    if kind not in known_kinds():
        raise UserError(
            f"model={kind}: a target is written step by step, by one of {', '.join(known_kinds())}. What reads the source "
            "is named by model.reader."
        )
    reading = [each for each in known_kinds(whole=True) if each != "bag"]  # which has no core of its own
    if reader is not None and reader not in reading:
        raise unknown("model.reader", reader, reading)
    target = preset(kind, vocabulary, **options)
    read = preset(READERS.get(kind, kind) if reader is None else reader, 1, **options | {"tied": False})
    layers, wrapped = target["core"]["layers"], "norm" in target["core"]
    width = read["core"]["layers"][-1]["width"] if read["core"]["layers"] else read["embedder"]["width"]
    if attention == "recurrent" and wrapped:
        raise UserError(f"attention=recurrent: the context enters a recurrent cell, and {kind} has none.")
    if attention == "recurrent" and kind != "gru" and len(layers) == 1:
        raise UserError(
            f"attention=recurrent: the cell that the context enters is a GRU's, in the place of the last layer, so that no "
            f"{kind} is left. Say model=gru, or model.layers=2."
        )
    if attention == "recurrent":
        layers = [*layers[:-1], {"kind": "bahdanau", "width": layers[-1]["width"], "source": width}]
    elif attention != "none":
        heads = options.get("heads") or 4
        look = {
            "kind": "cross", "width": layers[-1]["width"], "source": width, "score": attention,
            "heads": heads if wrapped and attention == "scaled" else 1, "merge": "linear" if wrapped else "tanh",
        }  # fmt: skip
        layers = _looking(layers, look) if wrapped else [*layers, look]
    embedded = "shared" if shared else {**source, "width": read["embedder"]["width"]}
    return {
        "embedder": target["embedder"],
        "core": {**target["core"], "layers": layers},
        "head": {**target["head"], "smoothing": smoothing},
        "source": {"embedder": embedded, "core": read["core"]},
    }


def _looking(layers: Layers, look: dict[str, Any]) -> Layers:
    """A look at the source before each feed-forward; after the last layer where there is none."""
    found = [part for layer in layers for part in ((look, layer) if layer["kind"] == "ffn" else (layer,))]
    return found if look in found else [*found, look]


def matched_width(size: Callable[[int], int], parameters: int) -> int:
    """The width whose model comes nearest to `parameters` trainable ones: a multiple of 8, which vector units like, where
    that comes within 2.5 %, else of what the kind allows (2 x heads with rotary positions, 1 elsewhere). size: the
    parameters of the model of a width; it raises UserError for one that the kind refuses.
    """
    finest = _narrowest(size)
    for step in (lcm(8, finest), finest):
        low, high = 1, 2
        while size(high * step) < parameters:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if size(middle * step) < parameters else (low, middle)
        width = step * min((low, high), key=lambda steps: abs(size(steps * step) - parameters))
        if abs(size(width) - parameters) <= 0.025 * parameters:
            break
    return width


def _narrowest(size: Callable[[int], int]) -> int:
    """The narrowest width that a kind takes; what it asks for is divisibility, so it takes the multiples too."""
    for width in range(1, 257):
        try:
            size(width)
        except UserError as error:
            refused = error
        else:
            return width
    raise refused
