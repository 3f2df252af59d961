"""Random tiny models of the transformers library, saved as the hub has them: what `pretrained` is held to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

GPT2 = {"vocab_size": 61, "n_embd": 24, "n_head": 3, "n_layer": 2, "n_positions": 300}
GPT2 |= {"bos_token_id": 60, "eos_token_id": 60}
LLAMA = {"vocab_size": 53, "hidden_size": 24, "num_attention_heads": 4, "num_hidden_layers": 2}
LLAMA |= {"intermediate_size": 37, "num_key_value_heads": 2, "max_position_embeddings": 300}
LLAMA |= {"bos_token_id": 1, "eos_token_id": 2}
BERT = {"vocab_size": 47, "hidden_size": 24, "num_attention_heads": 3, "num_hidden_layers": 2}
BERT |= {"intermediate_size": 31, "max_position_embeddings": 40}
ROBERTA = BERT | {"max_position_embeddings": 42, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}

WRITERS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", GPT2),
    "gpt2 untied, odd sizes": (
        "gpt2",
        GPT2
        | {"tie_word_embeddings": False, "n_embd": 21, "n_inner": 19, "bos_token_id": 7, "eos_token_id": 0},
    ),
    "gpt2 scaled by layer": (
        "gpt2",
        GPT2 | {"scale_attn_by_inverse_layer_idx": True, "activation_function": "relu"},
    ),
    "gpt2 unscaled": ("gpt2", GPT2 | {"scale_attn_weights": False, "activation_function": "gelu"}),
    "llama grouped": ("llama", LLAMA),
    "llama tied": ("llama", LLAMA | {"tie_word_embeddings": True, "rope_theta": 1e5}),
    "llama tied, ends first": (
        "llama",
        LLAMA | {"tie_word_embeddings": True, "bos_token_id": 3, "eos_token_id": 0},
    ),
    "llama one token ends and begins": ("llama", LLAMA | {"bos_token_id": 0, "eos_token_id": 0}),
    "llama wide heads": ("llama", LLAMA | {"head_dim": 10, "num_key_value_heads": 1, "hidden_size": 28}),
    "llama biases": ("llama", LLAMA | {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": 4}),
    "llama stretched": (
        "llama",
        LLAMA | {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}},
    ),
    "llama 3": (
        "llama",
        LLAMA
        | {
            "head_dim": 16,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 1e3,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 80,
            },
        },
    ),
    "qwen2": ("qwen2", LLAMA | {"bos_token_id": 50, "eos_token_id": 50}),
    "qwen2 tied": ("qwen2", LLAMA | {"tie_word_embeddings": True, "bos_token_id": None}),
    "qwen2 windows": (
        "qwen2",
        LLAMA | {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    ),
}
READERS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", BERT),
    "bert odd": ("bert", BERT | {"hidden_act": "gelu_new", "type_vocab_size": 3, "hidden_size": 27}),
    "roberta": ("roberta", ROBERTA | {"type_vocab_size": 1}),
}


def theirs(kind: str, options: dict[str, Any], seed: int = 0) -> Any:
    """A random model of the transformers library in eval mode, no weight of it at its beginning."""
    import transformers

    classes = {
        "gpt2": ("GPT2Config", "GPT2LMHeadModel"),
        "llama": ("LlamaConfig", "LlamaForCausalLM"),
        "qwen2": ("Qwen2Config", "Qwen2ForCausalLM"),
        "bert": ("BertConfig", "BertModel"),
        "roberta": ("RobertaConfig", "RobertaModel"),
    }
    config, model = (getattr(transformers, name) for name in classes[kind])
    torch.manual_seed(seed)
    made = model(config(**options)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.15 * torch.randn_like(parameter)
    return made


def saved(model: Any, folder: Path) -> Path:
    """The folder with the model's config.json and model.safetensors."""
    model.save_pretrained(folder)
    return folder


def word_tokenizer(folder: Path, vocabulary: int, specials: tuple[int, ...], wrapped: bool = False) -> None:
    """Writes a tokenizer.json of words w0 ... as many as ids, of which `specials` are special."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    names = {number: f"<{number}>" if number in specials else f"w{number}" for number in range(vocabulary)}
    made = Tokenizer(models.WordLevel({name: number for number, name in names.items()}, unk_token="w9"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    made.add_special_tokens([AddedToken(names[number], special=True) for number in specials])
    if wrapped:
        begin, end = (names[number] for number in specials[:2])
        around = [(begin, specials[0]), (end, specials[1])]
        made.post_processor = processors.TemplateProcessing(f"{begin} $A {end}", special_tokens=around)
    made.save(str(folder / "tokenizer.json"))


def edited(folder: Path, **changes: Any) -> None:
    """Changes keys of the folder's config.json; None takes one away."""
    file = folder / "config.json"
    told = json.loads(file.read_bytes()) | changes
    file.write_text(json.dumps({key: value for key, value in told.items() if value is not None}))
