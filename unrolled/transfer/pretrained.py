"""Other people's weights in our own modules: `pretrained("minilm")`, or a folder as the Hugging Face hub has it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from unrolled.datasets.imported import ImportedTokenizer
from unrolled.errors import UserError, unknown
from unrolled.model import Model, build
from unrolled.model.heads import LabelHead
from unrolled.transfer.config import Config
from unrolled.transfer.families import FAMILIES, Family
from unrolled.transfer.gguf_model import GgufFile
from unrolled.transfer.sources import NAMES, Folder, Known, NotAtHand, NpzFile, located, opened
from unrolled.transfer.taken import back, check, fill, renamed
from unrolled.transfer.tensors import Tensors

__all__ = ["NAMES", "Known", "NotAtHand", "family_of", "located", "pretrained", "tokenizer", "weights_back"]

Precision = Literal["float32", "bfloat16", "float16"]
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pretrained(source: str | Path, dtype: Precision = "float32") -> Model:
    """The model in a folder of config.json, *.safetensors and tokenizer.json; in a .gguf file; in an installed package that
    carries either; or one of `NAMES`. In eval mode, on the CPU.

    What writes text gets the task `generate`, so that generate, Stream, export and serve take it as they take a run's
    model; where there is no tokenizer, no task. BERT's family gets the head `vectors` (B, T, width) and no task; its
    tokenizer is `tokenizer(source)`. dtype: of the weights, whatever they are kept in.

    Raises UserError for a source that isn't of one known model as a whole, saying what doesn't fit; NotAtHand (exit code 4)
    for a name whose weights are not on this machine.
    """
    if dtype not in PRECISIONS:
        raise unknown("dtype", str(dtype), PRECISIONS)
    held = opened(source)
    config = held.config
    family = family_of(config)
    tensors = renamed(held.tensors(), family.older, family.prefix)
    model = _filled(family, config, tensors, PRECISIONS[dtype])
    model.task = family.task(config, held.place, _codec(held, family) if family.context else None)
    return model.eval()


def tokenizer(source: str | Path) -> ImportedTokenizer:
    """The codec of a source's tokenizer (tokenizer.json, or what a .gguf file says), under the ids of the model that
    `pretrained` makes of the source.

    Raises UserError for a source without one, and for one that doesn't fit the model.
    """
    held = opened(source)
    codec = _codec(held, family_of(held.config))
    if codec is None:
        file = held.place / "tokenizer.json" if isinstance(held, Folder) else held.place
        raise UserError(
            f"{file}: not there. Other kinds of tokenizer files (vocab.txt, *.model) are not read."
            if isinstance(held, Folder)
            else f"{file}: holds no tokenizer."
        )
    return codec


def weights_back(model: Model, source: str | Path) -> dict[str, Tensor]:
    """The weights of a model that came from `source`, under the names and in the shapes that its file has them in (of a
    .gguf file: those of the hub's folder of the same model): the way back for what was trained further. What `pretrained`
    leaves out (masks, heads of pretraining) is left out.
    """
    config = opened(source).config
    return back(model, family_of(config).names(config))


def _codec(held: Folder | GgufFile | NpzFile, family: Family) -> ImportedTokenizer | None:
    """The tokenizer of what is held, where there is one."""
    config = held.config
    codec = held.codec(family.first(config), wrapped=family.context is None)
    unended = all(config.told.get(key) is None for key in ("bos_token_id", "eos_token_id"))
    if codec is not None and family.context and unended:
        raise UserError(
            f"{config.source}: neither bos_token_id nor eos_token_id is named, so nothing says where a text ends. Say "
            "one of them there."
        )
    return codec


def family_of(config: Config) -> Family:
    """The family of a config. Raises UserError that lists the known ones."""
    if config.family not in FAMILIES:
        raise unknown(f"model_type in {config.source}:", config.family, FAMILIES)
    return FAMILIES[config.family]


def _filled(family: Family, config: Config, tensors: Tensors, dtype: torch.dtype) -> Model:
    """The model with their weights. All shapes are compared before anything is allocated."""
    if family.layers and config.size(family.layers) > len(tensors):
        raise UserError(f"{config.source}: more layers than {tensors.folder} has tensors ({len(tensors)}).")
    names, spec = family.names(config), family.spec(config)
    tied = spec["head"].get("tied", False)
    with torch.device("meta"):
        model = build(spec)
    check(model, tensors, names, family.left_out + ((r"lm_head\.weight",) if tied else ()))
    model = model.to(dtype).to_empty(device="cpu")
    if tied:  # what is moved off `meta` is made anew, each by itself
        model.head.scores.weight = model.embedder.table.weight  # type: ignore[union-attr]
    for head in (module for module in model.modules() if isinstance(module, LabelHead)):
        head.weight.fill_(1.0)  # no weight of theirs: what it counts for in a loss
    fill(model, tensors, names)
    return model
