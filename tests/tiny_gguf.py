"""Tiny .gguf files, written with the gguf package as llama.cpp's converter lays them out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

PARTS = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def their_name(name: str) -> str:
    """llama.cpp's name of one of the hub's."""
    stem, kind = name.rsplit(".", 1)
    if stem in WHOLE:
        return f"{WHOLE[stem]}.{kind}"
    number, part = stem.removeprefix("model.layers.").split(".", 1)
    return f"blk.{number}.{PARTS[part]}.{kind}"


def paired(value: np.ndarray, heads: int) -> np.ndarray:
    """Rows as llama.cpp turns them: the two halves of a head, one of each in turn."""
    halves = value.reshape(heads, 2, -1, *value.shape[1:])
    return halves.swapaxes(1, 2).reshape(value.shape)


def written(
    folder: Path, file: Path, dtype: str = "F32", factors: list[float] | None = None, **changes: Any
) -> Path:
    """The .gguf of a hub's folder of the Llama or Qwen2 family; matrices in `dtype`; factors: of the rotary
    angles; `changes`: keys set otherwise, or with None left out.
    """
    import gguf

    told = json.loads((folder / "config.json").read_bytes())
    kind, heads = told["model_type"], told["num_attention_heads"]
    writer = gguf.GGUFWriter(file, kind)
    keys = {
        "embedding_length": told["hidden_size"], "block_count": told["num_hidden_layers"],
        "feed_forward_length": told["intermediate_size"], "attention.head_count": heads,
        "attention.head_count_kv": told["num_key_value_heads"], "context_length": told["max_position_embeddings"],
        "attention.layer_norm_rms_epsilon": told["rms_norm_eps"], "vocab_size": told["vocab_size"],
        "rope.freq_base": (told.get("rope_parameters") or told)["rope_theta"],
    }  # fmt: skip
    if told.get("head_dim"):
        keys |= {"attention.key_length": told["head_dim"], "rope.dimension_count": told["head_dim"]}
    named = {f"{kind}.{key}": value for key, value in keys.items()}
    named |= {f"tokenizer.ggml.{key}": told.get(key) for key in ("bos_token_id", "eos_token_id")}
    for key, value in (named | tokens(told["vocab_size"]) | changes).items():
        if value is None:
            continue
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(key, value)
    if factors:
        writer.add_tensor("rope_freqs.weight", np.array(factors, np.float32))
    for name, value in load_file(folder / "model.safetensors").items():
        for part, count in (("q_proj", heads), ("k_proj", told["num_key_value_heads"])):
            if part in name and kind == "llama":
                value = paired(value, count)
        quantised = gguf.GGMLQuantizationType[dtype if value.ndim == 2 else "F32"]
        block = gguf.GGML_QUANT_SIZES[quantised][0]
        quantised = quantised if value.shape[-1] % block == 0 else gguf.GGMLQuantizationType.F32
        data = gguf.quants.quantize(np.ascontiguousarray(value), quantised)
        writer.add_tensor(their_name(name), data, raw_dtype=quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def tokens(vocabulary: int) -> dict[str, Any]:
    """A byte-level tokenizer of that many tokens, three of them special."""
    letters = [chr(ord("a") + number) for number in range(26)] + ["Ġ", "1", "2", "."]
    merges = ["Ġ a", "a b", "Ġa b", "1 2", "c d"]
    made = ["<s>", "<e>", "<p>", *letters, *(merge.replace(" ", "") for merge in merges)]
    made += [f"<unused{number}>" for number in range(vocabulary - len(made))]
    kinds = [3] * 3 + [1] * (len(made) - 3)
    named = {"model": "gpt2", "pre": "smollm", "tokens": made[:vocabulary], "merges": merges}
    return {
        f"tokenizer.ggml.{key}": value for key, value in (named | {"token_type": kinds[:vocabulary]}).items()
    }
