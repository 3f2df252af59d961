"""Whose weights can be read: a family is two functions, `spec` and `names`, and a line in `FAMILIES`, by the `model_type`
of its config.json.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from unrolled.datasets.imported import ImportedTokenizer
from unrolled.model.spec import Spec
from unrolled.tasks import GenerateText
from unrolled.transfer.config import Config, ends
from unrolled.transfer.families import bert, efficientnet_lite, g2p_en, gpt2, llama, resnet, vit, whisper
from unrolled.transfer.taken import Names

LONGEST = 2048  # tokens of a text, where a config doesn't say how many it was trained on


def _none(config: Config, place: Path, codec: ImportedTokenizer | None) -> None:
    return None


class Family(NamedTuple):
    """spec: config -> what `unrolled.model.build` takes; names: config -> which of their tensors make each of ours.

    left_out: patterns of names that are known to have no counterpart; prefix: of their names in files of the whole model;
    older: pattern -> what is said today; context: the key that says how long a text it was trained on, None of one that
    writes no text from the left on; layers: the key of their number; task: config, place and tokenizer -> what the model
    is for, None of one that has no head for a task; begins: the id
    that begins a text, where it isn't the config's first.
    """

    spec: Callable[[Config], Spec]
    names: Callable[[Config], Names]
    left_out: tuple[str, ...]
    prefix: str
    older: dict[str, str]
    context: str | None
    task: Callable[[Config, Path, ImportedTokenizer | None], Any] = _none
    layers: str | None = "num_hidden_layers"
    begins: Callable[[Config], int] | None = None

    def first(self, config: Config) -> int:
        """Their id that is our 0: what begins a text, or pads one where none is written."""
        if self.begins is not None:
            return self.begins(config)
        vocabulary = config.size("vocab_size")
        if self.context is not None:
            return ends(config, vocabulary)[0]
        return config.token("pad_token_id", vocabulary=vocabulary) or 0


def _writes(context: str) -> Callable[[Config, Path, ImportedTokenizer | None], GenerateText | None]:
    def task(config: Config, place: Path, codec: ImportedTokenizer | None) -> GenerateText | None:
        return None if codec is None else GenerateText(codec, config.size(context, LONGEST))

    return task


def _phones(config: Config, place: Path, codec: ImportedTokenizer | None) -> Any:
    return g2p_en.task()


_GPT2 = Family(
    gpt2.spec,
    gpt2.names,
    gpt2.LEFT_OUT,
    gpt2.PREFIX,
    gpt2.OLDER,
    "n_positions",
    _writes("n_positions"),
    "n_layer",
)
_MAXIMUM = "max_position_embeddings"
_LLAMA = Family(
    llama.spec, llama.names, llama.LEFT_OUT, llama.PREFIX, llama.OLDER, _MAXIMUM, _writes(_MAXIMUM)
)
_BERT = Family(bert.spec, bert.names, bert.LEFT_OUT, bert.PREFIX, bert.OLDER, None)

FAMILIES: dict[str, Family] = {
    "gpt2": _GPT2,
    "llama": _LLAMA,
    "qwen2": _LLAMA,
    "bert": _BERT,
    "roberta": _BERT,
    "whisper": Family(
        whisper.spec,
        whisper.names,
        whisper.LEFT_OUT,
        whisper.PREFIX,
        {},
        "max_target_positions",
        whisper.task,
        "encoder_layers",
        whisper.first,
    ),
    "resnet": Family(resnet.spec, resnet.names, resnet.LEFT_OUT, "", {}, None, resnet.task, None),
    "efficientnet-lite0": Family(
        efficientnet_lite.spec, efficientnet_lite.names, efficientnet_lite.LEFT_OUT, "", {}, None, layers=None
    ),
    "vit": Family(vit.spec, vit.names, vit.LEFT_OUT, "", {}, None, vit.task),
    "g2p_en": Family(g2p_en.spec, g2p_en.names, (), "", {}, None, _phones, None),
}
