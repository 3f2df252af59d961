"""ViT: Dosovitskiy et al. 2021, "An image is worth 16x16 words", arXiv:2010.11929."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unrolled.errors import UserError
from unrolled.model.spec import Spec
from unrolled.tasks import Classify
from unrolled.transfer.config import Config
from unrolled.transfer.families.labelled import classes, classified, scores
from unrolled.transfer.taken import Names, Taken, both, together

CLASSIFIES = "ViTForImageClassification"
LEFT_OUT = (r"pooler\..*", r"vit\.pooler\..*")  # of its pretraining
ACTIVATION = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}


def spec(config: Config) -> Spec:
    """The model that a config.json describes. [CLS] stands last here, where an answer is read."""
    width, eps = config.size("hidden_size"), config.number("layer_norm_eps", 1e-12)
    patch, channels = config.size("patch_size", 16), config.size("num_channels", 3)
    attention = {"kind": "attention", "width": width, "heads": config.size("num_attention_heads")}
    attention |= {"causal": False, "rotary": False, "bias": True}
    ffn = {"kind": "ffn", "width": width, "hidden": config.size("intermediate_size")}
    ffn |= {"activation": config.one_of("hidden_act", ACTIVATION, "gelu")}
    blocks: list[dict[str, Any]] = [{"kind": "positions", "width": width, "length": _patches(config) + 1}]
    blocks += [dict(layer) for _ in range(config.size("num_hidden_layers")) for layer in (attention, ffn)]
    labels = classes(config, CLASSIFIES)
    return {
        "embedder": {"kind": "patches", "inputs": patch * patch * channels + 1, "width": width},
        "core": {"layers": blocks, "norm": "before", "residual": True, "eps": eps},
        "head": {"kind": "labels", "classes": len(labels)} if labels else {"kind": "vectors"},
    }


def names(config: Config) -> Names:
    """Which of their tensors make each of ours."""
    labels = classes(config, CLASSIFIES)
    stem = "vit." if labels else ""
    width, patch, channels = (
        config.size("hidden_size"),
        config.size("patch_size", 16),
        config.size("num_channels", 3),
    )
    count = _patches(config)
    found = {
        "embedder.token": Taken((f"{stem}embeddings.cls_token",), kept=(1, 1, width)),
        "embedder.map.weight": Taken(
            (f"{stem}embeddings.patch_embeddings.projection.weight",),
            kept=(width, channels, patch, patch),
            axes=(0, 2, 3, 1),
        ),
        "embedder.map.bias": Taken((f"{stem}embeddings.patch_embeddings.projection.bias",)),
        "core.layers.0.table": Taken(
            (f"{stem}embeddings.position_embeddings",),
            kept=(1, count + 1, width),
            order=(*range(1, count + 1), 0),
        ),
    }
    bias = config.flag("qkv_bias", True)
    for number in range(config.size("num_hidden_layers")):
        theirs, attention, ffn = f"{stem}encoder.layer.{number}", 1 + 2 * number, 2 + 2 * number
        parts = [f"{theirs}.attention.attention.{part}" for part in ("query", "key", "value")]
        found |= together(f"core.layers.{attention}.project", parts, [width] * 3, bias=bias)
        if not bias:
            found[f"core.layers.{attention}.project.bias"] = Taken(("", "", ""), (width,) * 3)
        found |= both(f"core.layers.{attention}.out", f"{theirs}.attention.output.dense")
        found |= both(f"core.norms.{attention}", f"{theirs}.layernorm_before")
        found |= both(f"core.layers.{ffn}.widen", f"{theirs}.intermediate.dense")
        found |= both(f"core.layers.{ffn}.narrow", f"{theirs}.output.dense")
        found |= both(f"core.norms.{ffn}", f"{theirs}.layernorm_after")
    found |= both("core.final", f"{stem}layernorm")
    if labels:
        found |= scores(labels, "classifier")
    return found


def task(config: Config, place: Path, codec: object) -> Classify | None:
    """Images in, their classes out; None of one that answers nothing, or where nothing says how images are prepared."""
    patch = config.size("patch_size", 16)
    made = classified(classes(config, CLASSIFIES), place, patch, config.size("num_channels", 3))
    if made is not None and made.codec.patches != _patches(config):  # type: ignore[attr-defined]
        raise UserError(
            f"{place}: its images are prepared to {made.codec.patches} patches, "  # type: ignore[attr-defined]
            f"and {config.source} says {_patches(config)}."
        )
    return made


def _patches(config: Config) -> int:
    """How many patches an image has."""
    return (config.size("image_size", 224) // config.size("patch_size", 16)) ** 2
