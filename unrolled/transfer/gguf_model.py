"""What a .gguf file means: the config, the names and the tokenizer that the hub's folder of the same model has."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from unrolled.datasets.imported import ImportedTokenizer
from unrolled.errors import UserError, unknown
from unrolled.transfer.config import Config
from unrolled.transfer.gguf import Changed, Quantised

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Of which architectures their maps of queries and keys lie as pairs side by side, as llama.cpp turns them.
PAIRED = {"llama": True, "qwen2": False}
NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
SIZES = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "max_position_embeddings": "context_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base",
}
NEEDED = ("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads", "rms_norm_eps")
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,%d}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+"
)
# How texts are cut before they are merged, by what the file calls it: "" GPT-2's way, "digits" the same with each digit by
# itself, a number: Llama 3's way with that many digits together.
CUTS: dict[str, str | int] = {"gpt-2": "", "smollm": "digits", "starcoder": "digits"}
CUTS |= {"llama-bpe": 3, "llama3": 3, "qwen2": 1}
FACTORS, LARGEST_HEAD = "rope_freqs.weight", 4096
CONTROL, OWN = 3, 4  # kinds of a token: special; one that somebody added


class GgufFile:
    """A .gguf file as `pretrained` takes it. Raises UserError for a file that is damaged, or of what isn't known here."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.kept = Quantised(place)
        self.told = self.kept.header.told
        self.family = str(self.told.get("general.architecture"))
        if self.family not in PAIRED:
            raise unknown(f"general.architecture in {place}:", self.family, PAIRED)
        if self.told.get("split.count", 1) != 1:
            raise UserError(
                f"{place}: one of several parts. Join them first (llama.cpp's gguf-split --merge)."
            )

    @cached_property
    def config(self) -> Config:
        """The config.json that says the same."""
        told = {key: self.told.get(f"{self.family}.{theirs}") for key, theirs in SIZES.items()}
        for key in NEEDED:
            if told[key] is None:
                raise UserError(f"{self.place}: has no {self.family}.{SIZES[key]}.")
        tokens = self.told.get("tokenizer.ggml.tokens")
        told["vocab_size"] = self.told.get(f"{self.family}.vocab_size") or (tokens and len(tokens))
        told |= {
            "model_type": self.family,
            "tie_word_embeddings": "output.weight" not in self.kept,
            "attention_bias": "blk.0.attn_q.bias" in self.kept and self.family == "llama",
            "bos_token_id": self.told.get("tokenizer.ggml.bos_token_id"),
            "eos_token_id": self.told.get("tokenizer.ggml.eos_token_id"),
        }
        scaling = self.told.get(f"{self.family}.rope.scaling.type", "none")
        if scaling != "none":
            factor = self.told.get(f"{self.family}.rope.scaling.factor")
            told["rope_scaling"] = {"rope_type": scaling, "factor": factor}
        if (factors := self._factors()) is not None:
            told["rope_scaling"] = {"rope_type": "factors", "factors": factors}
        config = Config({key: value for key, value in told.items() if value is not None}, str(self.place))
        turned = self.told.get(f"{self.family}.rope.dimension_count")
        if turned not in (None, _head(config)):
            raise UserError(
                f"{self.place}: {turned} numbers of a head of {_head(config)} are turned by their position; only all are."
            )
        return config

    def tensors(self) -> Changed:
        """The tensors under the hub's names, in the hub's order of rows."""
        names = {_name(old): old for old in self.kept if old != FACTORS}
        heads = self.config.size("num_attention_heads")
        counts = {"q_proj": heads, "k_proj": self.config.size("num_key_value_heads", heads)}
        changes = {}
        for new in names:
            part = new.split(".")[-2] if new.count(".") else ""
            if PAIRED[self.family] and part in counts:
                changes[new] = _Unpaired(counts[part])
        return Changed(self.kept, names, changes)

    def _factors(self) -> list[float] | None:
        """How much slower each pair of a head turns, which Llama 3's files keep as a tensor."""
        if FACTORS not in self.kept or self.kept[FACTORS].shape[0] > LARGEST_HEAD:
            return None
        return [float(factor) for factor in self.kept.read(FACTORS).flatten()]

    def codec(self, first: int, wrapped: bool) -> ImportedTokenizer | None:
        """The tokenizer that the file describes; None where it describes none. Raises UserError for a kind that isn't
        read.
        """
        if "tokenizer.ggml.model" not in self.told:
            return None
        try:
            return ImportedTokenizer(self._tokenizer(), self.config.size("vocab_size"), first, wrapped)
        except UserError as error:
            raise UserError(f"{self.place}: {error}") from error

    def _tokenizer(self) -> Tokenizer:
        from tokenizers import AddedToken, Tokenizer, decoders, models

        kind, cut = (str(self.told.get(f"tokenizer.ggml.{key}")) for key in ("model", "pre"))
        if kind != "gpt2":
            raise UserError(
                f"its tokenizer is of kind {kind!r}; only 'gpt2' (byte-level BPE) is read from a .gguf."
            )
        if cut not in CUTS:
            raise unknown("tokenizer.ggml.pre", cut, CUTS)
        tokens, merges, kinds = (self._list(key) for key in ("tokens", "merges", "token_type"))
        vocabulary = {token: number for number, token in enumerate(tokens)}
        if len(vocabulary) != len(tokens) or len(kinds) != len(tokens):
            raise UserError(
                f"its tokenizer has {len(tokens):,} tokens, {len(vocabulary):,} of them different, of {len(kinds):,} kinds."
            )
        pairs = [(left, right) for left, _, right in (str(merge).partition(" ") for merge in merges)]
        try:
            bpe = models.BPE(vocabulary, pairs, ignore_merges=CUTS[cut] == 3)
        except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
            raise UserError(f"its tokenizer's merges don't fit its tokens ({error}).") from error
        made = Tokenizer(bpe)
        made.pre_tokenizer = _cut(CUTS[cut])
        made.decoder = decoders.ByteLevel()
        added = [(token, kind) for token, kind in zip(tokens, kinds, strict=True) if kind in (CONTROL, OWN)]
        made.add_tokens(
            [AddedToken(token, normalized=False, special=kind == CONTROL) for token, kind in added]
        )
        return made

    def _list(self, key: str) -> list[Any]:
        found = self.told.get(f"tokenizer.ggml.{key}")
        if not isinstance(found, list):
            raise UserError(f"its tokenizer has no list of {key}.")
        return found


def _cut(how: str | int) -> Any:
    from tokenizers import Regex, pre_tokenizers

    if isinstance(how, int):
        split = pre_tokenizers.Split(Regex(LLAMA3 % how), "isolated")
        return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(True), whole]) if how else whole


def _head(config: Config) -> int:
    return config.size("head_dim", max(config.size("hidden_size") // config.size("num_attention_heads"), 1))


def _name(theirs: str) -> str:
    """The hub's name of a tensor; a name that isn't known stays, to be refused by it."""
    part, _, kind = theirs.rpartition(".")
    if part in NAMES:
        return f"{NAMES[part]}.{kind}"
    found = re.fullmatch(r"blk\.(\d+)\.(\w+)", part)
    if found and found[2] in NAMES:
        return f"model.layers.{found[1]}.{NAMES[found[2]]}.{kind}"
    return theirs


class _Unpaired:
    """Rows of a map of queries or keys: from the pairs (2 i, 2 i + 1) that llama.cpp turns to the hub's halves."""

    def __init__(self, heads: int) -> None:
        self.heads = heads

    def __call__(self, value: Tensor) -> Tensor:
        parts = value.reshape(self.heads, -1, 2, *value.shape[1:])
        return parts.transpose(1, 2).reshape(value.shape)
