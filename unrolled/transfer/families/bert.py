"""BERT (Devlin et al. 2019, arXiv:1810.04805), and what has its shape: MiniLM, and RoBERTa (arXiv:1907.11692), whose
positions begin after its padding's.
"""

from __future__ import annotations

from typing import Any

from unrolled.model.spec import Spec
from unrolled.transfer.config import Config
from unrolled.transfer.taken import Names, Taken, both, together

PREFIX = ""
OLDER = {
    r"^(bert|roberta)\.": "",
    r"LayerNorm\.gamma$": "LayerNorm.weight",
    r"LayerNorm\.beta$": "LayerNorm.bias",
}
# Counted anew, and the heads of what it was trained for.
LEFT_OUT = (r"embeddings\.position_ids", r"(pooler|cls|lm_head|classifier)\..*")
ACTIVATION = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}


def spec(config: Config) -> Spec:
    """The model that a config.json describes: what BERT is without the head of its pretraining."""
    config.refuse(is_decoder=False, add_cross_attention=False, position_embedding_type="absolute")
    width, offset = config.size("hidden_size"), _offset(config)
    eps = config.number("layer_norm_eps", 1e-12)
    length = config.size("max_position_embeddings") - offset
    attention = {"kind": "attention", "width": width, "heads": config.size("num_attention_heads")}
    attention |= {"causal": False, "rotary": False, "bias": True}
    activation = config.one_of("hidden_act", ACTIVATION, "gelu")
    ffn = {"kind": "ffn", "width": width, "hidden": config.size("intermediate_size")} | {
        "activation": activation
    }
    first: list[dict[str, Any]] = [
        {"kind": "positions", "width": width, "length": length, "offset": offset},
        {"kind": "norm", "width": width, "eps": eps},
    ]
    vocabulary, types = config.size("vocab_size"), config.size("type_vocab_size", 2)
    blocks = [dict(layer) for _ in range(config.size("num_hidden_layers")) for layer in (attention, ffn)]
    return {
        "embedder": {"kind": "tokens", "vocabulary": vocabulary, "width": width, "types": types},
        "core": {"layers": first + blocks, "norm": "after", "residual": True, "eps": eps},
        "head": {"kind": "vectors"},
    }


def names(config: Config) -> Names:
    """Which of their tensors make each of ours."""
    first = config.token("pad_token_id", vocabulary=config.size("vocab_size")) or 0
    found = {
        "embedder.table.weight": Taken(("embeddings.word_embeddings.weight",), first=first),
        "embedder.types.weight": Taken(("embeddings.token_type_embeddings.weight",)),
        "core.layers.0.table": Taken(("embeddings.position_embeddings.weight",)),
    } | both("core.layers.1.norm", "embeddings.LayerNorm")
    rows = [config.size("hidden_size")] * 3
    for number in range(config.size("num_hidden_layers")):
        theirs, attention, ffn = f"encoder.layer.{number}", 2 + 2 * number, 3 + 2 * number
        parts = [f"{theirs}.attention.self.{part}" for part in ("query", "key", "value")]
        found |= together(f"core.layers.{attention}.project", parts, rows)
        found |= both(f"core.layers.{attention}.out", f"{theirs}.attention.output.dense")
        found |= both(f"core.norms.{attention}", f"{theirs}.attention.output.LayerNorm")
        found |= both(f"core.layers.{ffn}.widen", f"{theirs}.intermediate.dense")
        found |= both(f"core.layers.{ffn}.narrow", f"{theirs}.output.dense")
        found |= both(f"core.norms.{ffn}", f"{theirs}.output.LayerNorm")
    return found


def _offset(config: Config) -> int:
    """Rows of the table of positions that nothing reads."""
    if config.family != "roberta":
        return 0
    pad = config.token("pad_token_id", vocabulary=config.size("vocab_size"))
    return 1 + (1 if pad is None else pad)
