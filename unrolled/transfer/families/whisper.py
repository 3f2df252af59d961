"""Whisper: Radford et al. 2022, "Robust speech recognition via large-scale weak supervision", arXiv:2212.04356."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unrolled.datasets.imported import ImportedTokenizer
from unrolled.datasets.prepared import PreparedMel
from unrolled.errors import UserError
from unrolled.model.spec import Spec
from unrolled.tasks import Translate
from unrolled.tasks.translate import Lengths
from unrolled.transfer.config import Config
from unrolled.transfer.taken import Names, Taken, both

PREFIX = "model."
LEFT_OUT = (r"proj_out\.weight",)  # the table once more
ACTIVATION = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
PREPARED, ASKED = "preprocessor_config.json", "generation_config.json"
FORCED = ("<|en|>", "<|transcribe|>", "<|notimestamps|>")  # where nothing says what a text begins with


def first(config: Config) -> int:
    """Their id that begins a text."""
    return config.token("decoder_start_token_id", "bos_token_id", vocabulary=config.size("vocab_size")) or 0


def spec(config: Config) -> Spec:
    """The model that a config.json describes."""
    config.refuse(scale_embedding=False, tie_word_embeddings=True)
    width, vocabulary = config.size("d_model"), config.size("vocab_size")
    return {
        "embedder": {"kind": "tokens", "vocabulary": vocabulary, "width": width},
        "core": _core(config, "decoder", config.size("max_target_positions", 448)),
        "head": {"kind": "tokens", "tied": True, "bias": False, "closes": _closes(config)},
        "source": {
            "embedder": {"kind": "frames", "inputs": config.size("num_mel_bins", 80), "width": width},
            "core": _core(config, "encoder", config.size("max_source_positions", 1500)),
        },
    }


def names(config: Config) -> Names:
    """Which of their tensors make each of ours."""
    width = config.size("d_model")
    found = {"embedder.table.weight": Taken(("model.decoder.embed_tokens.weight",), first=first(config))}
    found |= both("source.embedder.every", "model.encoder.conv1")
    found |= both("source.embedder.other", "model.encoder.conv2")
    for stem, side, per in (("", "decoder", 3), ("source.", "encoder", 2)):
        found[f"{stem}core.layers.0.table"] = Taken((f"model.{side}.embed_positions.weight",))
        for number in range(config.size(f"{side}_layers")):
            theirs, at = f"model.{side}.layers.{number}", 1 + per * number
            found |= _attention(f"{stem}core.layers.{at}", f"{theirs}.self_attn", width)
            found |= both(f"{stem}core.norms.{at}", f"{theirs}.self_attn_layer_norm")
            if per == 3:
                found |= _cross(f"{stem}core.layers.{at + 1}", f"{theirs}.encoder_attn")
                found |= both(f"{stem}core.norms.{at + 1}", f"{theirs}.encoder_attn_layer_norm")
            last = at + per - 1
            found |= both(f"{stem}core.layers.{last}.widen", f"{theirs}.fc1")
            found |= both(f"{stem}core.layers.{last}.narrow", f"{theirs}.fc2")
            found |= both(f"{stem}core.norms.{last}", f"{theirs}.final_layer_norm")
        found |= both(f"{stem}core.final", f"model.{side}.layer_norm")
    return found


def task(config: Config, place: Path, codec: ImportedTokenizer | None) -> Translate | None:
    """Sounds of at most 30 s in, what is said in them out; None without a tokenizer. The language is what
    generation_config.json forces, else English.
    """
    if codec is None:
        return None
    told, asked = _told(place / PREPARED), _told(place / ASKED)
    keys = {"rate": "sampling_rate", "bands": "feature_size", "window": "n_fft", "hop": "hop_length"}
    sizes = {ours: told[theirs] for ours, theirs in keys.items() if theirs in told}
    reads = PreparedMel(
        **{"bands": config.size("num_mel_bins", 80)} | sizes, seconds=told.get("chunk_length", 30)
    )
    frames = -(-reads.seconds * reads.rate // reads.hop)
    if reads.bands != config.size("num_mel_bins", 80) or -(-frames // 2) > config.size(
        "max_source_positions", 1500
    ):
        raise UserError(
            f"{place / PREPARED}: prepares {frames} frames of {reads.bands} bands, which {config.source} has no place for."
        )
    vocabulary = config.size("vocab_size")
    begins = _begins(codec, asked)
    never = [token for token in asked.get("suppress_tokens") or () if type(token) is int]
    if any(not 0 <= token < vocabulary for token in (*begins, *never)):
        raise UserError(f"{place / ASKED}: names ids that aren't below vocab_size={vocabulary}.")
    most = config.size("max_target_positions", 448) - 1
    return Translate(
        codec=reads,
        answers=codec,
        inputs=("sound",),
        targets=("text",),
        metric="wer",
        lengths=Lengths(source=frames, target=most, stretch=0.0, more=most - len(begins)),
        begins=tuple(_ours(codec, begins)),
        never=tuple(_ours(codec, never)),
    )


def _begins(codec: ImportedTokenizer, asked: dict[str, Any]) -> list[int]:
    """Their ids of language, task and "no timestamps", as far as the model has them."""
    forced = [
        pair[1] for pair in asked.get("forced_decoder_ids") or () if isinstance(pair, list) and len(pair) == 2
    ]
    if forced and all(type(token) is int for token in forced):
        return forced
    names = FORCED if asked.get("is_multilingual", True) else FORCED[-1:]
    return [token for token in map(codec.id_of, names) if token is not None]


def _ours(codec: ImportedTokenizer, theirs: list[int]) -> list[int]:
    import numpy as np

    return [int(token) for token in codec.turned(np.array(theirs, np.int64))]


def _core(config: Config, side: str, length: int) -> dict[str, Any]:
    width, heads = config.size("d_model"), config.size(f"{side}_attention_heads")
    attention: dict[str, Any] = {
        "kind": "attention",
        "width": width,
        "heads": heads,
        "rotary": False,
        "bias": True,
    }
    ffn = {"kind": "ffn", "width": width, "hidden": config.size(f"{side}_ffn_dim")}
    ffn |= {"activation": config.one_of("activation_function", ACTIVATION, "gelu")}
    if side == "encoder":
        block = [attention | {"causal": False}, ffn]
    else:
        cross = {
            "kind": "cross",
            "width": width,
            "source": width,
            "score": "scaled",
            "heads": heads,
            "bias": True,
        }
        block = [attention, cross, ffn]
    layers: list[dict[str, Any]] = [{"kind": "positions", "width": width, "length": length}]
    layers += [dict(layer) for _ in range(config.size(f"{side}_layers")) for layer in block]
    return {"layers": layers, "norm": "before", "residual": True, "eps": 1e-5}


def _closes(config: Config) -> int:
    """Under our ids: what ends a text; 0 where the token that begins it does."""
    begins = first(config)
    ends = config.token("eos_token_id", vocabulary=config.size("vocab_size"))
    if ends is None or ends == begins:
        return 0
    return begins if ends == 0 else ends


def _attention(ours: str, theirs: str, width: int) -> Names:
    """Keys have no bias: one would change nothing, as all scores of a query would move together."""
    rows = (width,) * 3
    return {
        f"{ours}.project.weight": Taken(tuple(f"{theirs}.{part}_proj.weight" for part in "qkv"), rows),
        f"{ours}.project.bias": Taken((f"{theirs}.q_proj.bias", "", f"{theirs}.v_proj.bias"), rows),
    } | both(f"{ours}.out", f"{theirs}.out_proj")


def _cross(ours: str, theirs: str) -> Names:
    found = both(f"{ours}.query", f"{theirs}.q_proj") | both(f"{ours}.value", f"{theirs}.v_proj")
    return (
        found
        | both(f"{ours}.key", f"{theirs}.k_proj", bias=False)
        | both(f"{ours}.out", f"{theirs}.out_proj")
    )


def _told(file: Path) -> dict[str, Any]:
    """A table beside the config; empty where it isn't there."""
    if not file.is_file():
        return {}
    try:
        told = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: not a table of keys and values ({error}). Fetch it again.") from error
    if not isinstance(told, dict):
        raise UserError(f"{file}: holds {type(told).__name__}; expected a table of keys and values.")
    return told
