"""Llama (Touvron et al. 2023, arXiv:2302.13971, sec. 2.2) and what has its shape: SmolLM and Qwen2 (arXiv:2407.10671)."""

from __future__ import annotations

from math import tau
from typing import Any

from unrolled.errors import UserError
from unrolled.model.spec import Spec
from unrolled.transfer.config import Config, ends
from unrolled.transfer.taken import Names, Taken, both, together

PREFIX = "model."
OLDER: dict[str, str] = {}
LEFT_OUT = (r"model\.(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq",)  # counted anew


def spec(config: Config) -> Spec:
    """The model that a config.json describes."""
    config.refuse(hidden_act="silu", pretraining_tp=1, partial_rotary_factor=1)
    width, vocabulary = config.size("hidden_size"), config.size("vocab_size")
    heads, kv_heads, size = _heads(config)
    biases = _biases(config)
    attention = {"kind": "attention", "width": width, "heads": heads, "kv_heads": kv_heads, "size": size}
    attention |= {"rotary": _rotary(config, size), "bias": biases["attention"]}
    ffn = {"kind": "ffn", "width": width, "hidden": config.size("intermediate_size"), "activation": "swiglu"}
    blocks: list[dict[str, Any]] = []
    for window in _windows(config):
        blocks += [attention | window, ffn | {"bias": biases["ffn"]}]
    return {
        "embedder": {"kind": "tokens", "vocabulary": vocabulary, "width": width},
        "core": {
            "layers": blocks,
            "norm": "before",
            "norm_kind": "rms",
            "residual": True,
            "eps": config.number("rms_norm_eps", 1e-6),
        },
        "head": {
            "kind": "tokens",
            "tied": config.flag("tie_word_embeddings", False),
            "bias": False,
            "closes": ends(config, vocabulary)[1],
        },
    }


def names(config: Config) -> Names:
    """Which of their tensors make each of ours."""
    first = ends(config, config.size("vocab_size"))[0]
    heads, kv_heads, size = _heads(config)
    biases, hidden = _biases(config), config.size("intermediate_size")
    found = {"embedder.table.weight": Taken(("model.embed_tokens.weight",), first=first)}
    for number in range(config.size("num_hidden_layers")):
        theirs, attention, ffn = f"model.layers.{number}", 2 * number, 2 * number + 1
        ours = f"core.layers.{attention}"
        parts = [f"{theirs}.self_attn.{part}_proj" for part in "qkv"]
        rows = [size * count for count in (heads, kv_heads, kv_heads)]
        found |= both(f"core.norms.{attention}", f"{theirs}.input_layernorm", bias=False)
        found |= together(f"{ours}.project", parts, rows, bias=bool(biases["attention"]))
        found |= both(f"{ours}.out", f"{theirs}.self_attn.o_proj", bias=biases["attention"] is True)
        found |= both(f"core.norms.{ffn}", f"{theirs}.post_attention_layernorm", bias=False)
        widen = [f"{theirs}.mlp.gate_proj", f"{theirs}.mlp.up_proj"]
        found |= together(f"core.layers.{ffn}.widen", widen, [hidden, hidden], bias=bool(biases["ffn"]))
        found |= both(f"core.layers.{ffn}.narrow", f"{theirs}.mlp.down_proj", bias=bool(biases["ffn"]))
    found |= both("core.final", "model.norm", bias=False)
    if not config.flag("tie_word_embeddings", False):
        found["head.scores.weight"] = Taken(("lm_head.weight",), first=first)
    return found


def _heads(config: Config) -> tuple[int, int, int]:
    """Query heads, key and value heads, and the width of each."""
    width, heads = config.size("hidden_size"), config.size("num_attention_heads")
    return heads, config.size("num_key_value_heads", heads), config.size("head_dim", max(width // heads, 1))


def _biases(config: Config) -> dict[str, bool | str]:
    if config.family == "qwen2":
        return {"attention": "qkv", "ffn": False}
    return {"attention": config.flag("attention_bias", False), "ffn": config.flag("mlp_bias", False)}


def _rotary(config: Config, size: int) -> float | dict[str, Any]:
    """The base of the rotary angles, wherever this version of the config keeps it, and the factors of those that are
    stretched to longer texts. Raises UserError for ways of stretching that aren't known.
    """
    rope = config.told.get("rope_parameters") or config.told.get("rope_scaling") or {}
    kind = (rope.get("rope_type") or rope.get("type") or "default") if isinstance(rope, dict) else rope
    if not isinstance(rope, dict) or kind not in ("default", "linear", "llama3", "factors"):
        raise UserError(
            f"{config.source}: the rotary positions are of type {kind!r}; default, linear and llama3 are built here."
        )
    told = Config({"rope_theta": config.told.get("rope_theta")} | rope, config.source)
    told.refuse(partial_rotary_factor=1)
    base = told.number("rope_theta", 1e4)
    if kind == "default":
        return base
    if kind == "factors":  # as a .gguf file says them
        return {"base": base, "factors": list(rope["factors"])}
    factor = told.number("factor", 1)
    if kind == "linear":
        return {"base": base, "factors": [factor] * (size // 2)}
    return {"base": base, "factors": _stretched(told, base, size, factor)}


def _stretched(told: Config, base: float, size: int, factor: float) -> list[float]:
    """Llama 3.1's factors: 1 for what turns often within the texts it was trained on first, `factor` for what doesn't turn
    round in them, and from one to the other between (Llama Team 2024, arXiv:2407.21783, and their code).
    """
    low, high = told.number("low_freq_factor", 1), told.number("high_freq_factor", 4)
    trained = told.size("original_max_position_embeddings")
    if low >= high:
        raise UserError(f"{told.source}: low_freq_factor {low} is not below high_freq_factor {high}.")
    factors = []
    for pair in range(size // 2):
        rounds = trained * base ** (-2 * pair / size) / tau
        kept = min(max((rounds - low) / (high - low), 0.0), 1.0)
        factors.append(1 / ((1 - kept) / factor + kept))
    return factors


def _windows(config: Config) -> list[dict[str, Any]]:
    """Of each layer: how far it looks back, where that isn't all the way."""
    layers = config.size("num_hidden_layers")
    if not config.flag("use_sliding_window", False) or config.told.get("sliding_window") is None:
        return [{}] * layers
    window = {"window": config.size("sliding_window")}
    kinds = config.told.get("layer_types")
    if kinds is None:
        whole = config.size("max_window_layers") if config.told.get("max_window_layers") else 0
        kinds = (["full_attention"] * min(whole, layers) + ["sliding_attention"] * layers)[:layers]
    if (
        not isinstance(kinds, list)
        or len(kinds) != layers
        or any(kind not in ("full_attention", "sliding_attention") for kind in kinds)
    ):
        raise UserError(
            f"{config.source}: layer_types is {kinds!r:.80}; expected full_attention or sliding_attention for each of "
            f"{layers} layers."
        )
    return [window if kind == "sliding_attention" else {} for kind in kinds]
