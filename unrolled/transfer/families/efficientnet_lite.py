"""EfficientNet-lite0: Tan & Le 2019, arXiv:1905.11946, without squeezing and with ReLU6, under the names of the package
efficientnet-lite-pytorch.
"""

from __future__ import annotations

from typing import Any

from unrolled.model.spec import Spec
from unrolled.transfer.config import Config
from unrolled.transfer.taken import Names, both, normed

LEFT_OUT = (r".*\.num_batches_tracked",)
STEM, HEAD, EPS = 32, 1280, 1e-3
# Repeats, kernel, stride, how much wider inside, channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def spec(config: Config) -> Spec:
    """The network of a config.json that holds model_type alone, or image_size and num_labels too."""
    size = config.size("image_size", 224)
    units: list[dict[str, Any]] = [{"layers": [[STEM, 3, 2, 1, "relu6"]]}]
    for inputs, width, kernel, stride, wider in _blocks():
        inner = inputs * wider
        widened = [[inner, 1, 1, 1, "relu6"]] if wider > 1 else []
        layers = [*widened, [inner, kernel, stride, inner, "relu6"], [width, 1, 1, 1, "none"]]
        units.append({"layers": layers, "shortcut": "same" if stride == 1 and inputs == width else "none"})
    units.append({"layers": [[HEAD, 1, 1, 1, "relu6"]]})
    shape = [size, size, config.size("num_channels", 3)]
    return {
        "embedder": {"kind": "pictures", "shape": shape, "units": units, "padding": "same", "eps": EPS},
        "core": {"layers": [{"kind": "pool", "width": HEAD}]},
        "head": {"kind": "labels", "classes": config.size("num_labels", 1000)},
    }


def names(config: Config) -> Names:
    """Which of their tensors make each of ours."""
    found = normed("embedder.units.0.layers.0", "_conv_stem", "_bn0")
    blocks = _blocks()
    for number, (_, _, _, _, wider) in enumerate(blocks):
        parts = [("_expand_conv", "_bn0")] if wider > 1 else []
        parts += [("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        for layer, (convolution, norm) in enumerate(parts):
            ours, theirs = f"embedder.units.{number + 1}.layers.{layer}", f"_blocks.{number}"
            found |= normed(ours, f"{theirs}.{convolution}", f"{theirs}.{norm}")
    found |= normed(f"embedder.units.{len(blocks) + 1}.layers.0", "_conv_head", "_bn1")
    return found | both("head.scores", "_fc")


def _blocks() -> list[tuple[int, int, int, int, int]]:
    """Of each block: channels in and out, kernel, stride, how much wider inside."""
    found, inputs = [], STEM
    for repeats, kernel, stride, wider, width in STAGES:
        for number in range(repeats):
            found.append((inputs, width, kernel, stride if number == 0 else 1, wider))
            inputs = width
    return found
