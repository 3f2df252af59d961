"""ResNet: He et al. 2016, "Deep residual learning for image recognition", arXiv:1512.03385."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unrolled.errors import UserError
from unrolled.model.spec import Spec
from unrolled.tasks import Classify
from unrolled.transfer.config import Config
from unrolled.transfer.families.labelled import classes, classified, scores
from unrolled.transfer.taken import Names, normed

CLASSIFIES = "ResNetForImageClassification"
LEFT_OUT = (r".*\.num_batches_tracked",)
ACTIVATION = {"relu": "relu", "gelu": "gelu"}


def spec(config: Config) -> Spec:
    """The model that a config.json describes; `image_size`, which it doesn't say itself, is 224 unless it is added."""
    size, labels = config.size("image_size", 224), classes(config, CLASSIFIES)
    first = config.size("embedding_size", 64)
    act = config.one_of("hidden_act", ACTIVATION, "relu")
    units: list[dict[str, Any]] = [{"layers": [[first, 7, 2, 1, act]], "pool": True}]
    for _, _, inputs, width, stride in _blocks(config):
        mapped = inputs != width or stride != 1
        layers = _layers(config, width, stride, act)
        units.append({"layers": layers, "shortcut": "mapped" if mapped else "same", "activation": act})
    return {
        "embedder": {
            "kind": "pictures",
            "shape": [size, size, config.size("num_channels", 3)],
            "units": units,
        },
        "core": {"layers": [{"kind": "pool", "width": _sizes(config)[-1][0]}]},
        "head": {"kind": "labels", "classes": len(labels)} if labels else {"kind": "vectors"},
    }


def names(config: Config) -> Names:
    """Which of their tensors make each of ours."""
    labels = classes(config, CLASSIFIES)
    stem = "resnet." if labels else ""
    found = _normed("embedder.units.0.layers.0", f"{stem}embedder.embedder")
    for number, (stage, block, inputs, width, stride) in enumerate(_blocks(config), 1):
        ours, theirs = f"embedder.units.{number}", f"{stem}encoder.stages.{stage}.layers.{block}"
        for layer in range(len(_layers(config, width, stride, "relu"))):
            found |= _normed(f"{ours}.layers.{layer}", f"{theirs}.layer.{layer}")
        if inputs != width or stride != 1:
            found |= _normed(f"{ours}.map", f"{theirs}.shortcut")
    return found | (scores(labels, "classifier.1") if labels else {})


def task(config: Config, place: Path, codec: object) -> Classify | None:
    """Images in, their classes out."""
    made = classified(classes(config, CLASSIFIES), place, 0, config.size("num_channels", 3))
    size = config.size("image_size", 224)
    if made is not None and (made.codec.height, made.codec.width_pixels) != (size, size):  # type: ignore[attr-defined]
        raise UserError(
            f"{place}: its images aren't prepared to {size} x {size}; say image_size in {config.source}."
        )
    return made


def _normed(ours: str, theirs: str) -> Names:
    return normed(ours, f"{theirs}.convolution", f"{theirs}.normalization")


def _sizes(config: Config) -> list[tuple[int, int]]:
    """Of each stage: channels and blocks."""
    widths, depths = (config.told.get(key) for key in ("hidden_sizes", "depths"))
    lists = isinstance(widths, list) and isinstance(depths, list) and len(widths) == len(depths) > 0
    if not lists or any(type(n) is not int or not 1 <= n <= 2**16 for n in (*widths, *depths)):  # type: ignore[misc]
        raise UserError(
            f"{config.source}: hidden_sizes is {widths!r:.60} and depths {depths!r:.60}; expected as many whole numbers."
        )
    return list(zip(widths, depths, strict=True))  # type: ignore[arg-type]


def _blocks(config: Config) -> list[tuple[int, int, int, int, int]]:
    """Of each block: stage, number in it, channels in and out, stride."""
    found, inputs = [], config.size("embedding_size", 64)
    for stage, (width, depth) in enumerate(_sizes(config)):
        first = 2 if stage or config.flag("downsample_in_first_stage", False) else 1
        for block in range(depth):
            found.append((stage, block, inputs, width, 1 if block else first))
            inputs = width
    return found


def _layers(config: Config, width: int, stride: int, act: str) -> list[list[Any]]:
    kind = config.one_of("layer_type", {"basic": "basic", "bottleneck": "bottleneck"}, "bottleneck")
    if kind == "basic":
        return [[width, 3, stride, 1, act], [width, 3, 1, 1, "none"]]
    inner, early = max(width // 4, 1), config.flag("downsample_in_bottleneck", False)
    steps = (stride, 1) if early else (1, stride)
    return [[inner, 1, steps[0], 1, act], [inner, 3, steps[1], 1, act], [width, 1, 1, 1, "none"]]
