"""GPT-2: Radford et al. 2019, "Language models are unsupervised multitask learners", sec. 2.3."""

from __future__ import annotations

from math import sqrt
from typing import Any

from unrolled.model.spec import Spec
from unrolled.transfer.config import Config, ends
from unrolled.transfer.taken import Names, Taken, both

PREFIX = "transformer."
OLDER: dict[str, str] = {}
LEFT_OUT = (r"transformer\.h\.\d+\.attn\.(masked_)?bias",)  # the causal mask
ACTIVATION = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu", "relu": "relu"}


def spec(config: Config) -> Spec:
    """The model that a config.json describes."""
    config.refuse(add_cross_attention=False)
    width, heads, layers = config.size("n_embd"), config.size("n_head"), config.size("n_layer")
    vocabulary = config.size("vocab_size")
    hidden = config.size("n_inner", 4 * width)
    activation = config.one_of("activation_function", ACTIVATION, "gelu_new")
    blocks: list[dict[str, Any]] = [
        {"kind": "positions", "width": width, "length": config.size("n_positions", 1024)}
    ]
    for number in range(layers):
        scale = 1 / sqrt(width // heads) if config.flag("scale_attn_weights", True) else 1.0
        if config.flag("scale_attn_by_inverse_layer_idx", False):
            scale /= number + 1
        attention = {"kind": "attention", "width": width, "heads": heads, "rotary": False, "bias": True}
        blocks.append(attention | {"scale": scale})
        blocks.append({"kind": "ffn", "width": width, "hidden": hidden, "activation": activation})
    return {
        "embedder": {"kind": "tokens", "vocabulary": vocabulary, "width": width},
        "core": {
            "layers": blocks,
            "norm": "before",
            "residual": True,
            "eps": config.number("layer_norm_epsilon", 1e-5),
        },
        "head": {
            "kind": "tokens",
            "tied": config.flag("tie_word_embeddings", True),
            "bias": False,
            "closes": ends(config, vocabulary)[1],
        },
    }


def names(config: Config) -> Names:
    """Which of their tensors make each of ours. Their maps are "Conv1D": (inputs, outputs)."""
    first = ends(config, config.size("vocab_size"))[0]
    found = {
        "embedder.table.weight": Taken(("transformer.wte.weight",), first=first),
        "core.layers.0.table": Taken(("transformer.wpe.weight",)),
    }
    for number in range(config.size("n_layer")):
        theirs, attention, ffn = f"transformer.h.{number}", 1 + 2 * number, 2 + 2 * number
        found |= both(f"core.norms.{attention}", f"{theirs}.ln_1")
        found |= both(f"core.layers.{attention}.project", f"{theirs}.attn.c_attn", transposed=True)
        found |= both(f"core.layers.{attention}.out", f"{theirs}.attn.c_proj", transposed=True)
        found |= both(f"core.norms.{ffn}", f"{theirs}.ln_2")
        found |= both(f"core.layers.{ffn}.widen", f"{theirs}.mlp.c_fc", transposed=True)
        found |= both(f"core.layers.{ffn}.narrow", f"{theirs}.mlp.c_proj", transposed=True)
    found |= both("core.final", "transformer.ln_f")
    if not config.flag("tie_word_embeddings", True):
        found["head.scores.weight"] = Taken(("lm_head.weight",), first=first)
    return found
