"""g2p-en (Park & Kim 2019, package g2p-en): a GRU reads a word's letters, another writes its phones, and the first's last
state is where the second begins (Sutskever et al. 2014, arXiv:1409.3215).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unrolled.datasets.imported import ImportedTokenizer
from unrolled.datasets.symbols import Symbols
from unrolled.model.spec import Spec
from unrolled.tasks import Translate
from unrolled.tasks.translate import Lengths
from unrolled.transfer.config import Config
from unrolled.transfer.taken import Names, Taken

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LETTERS = ("<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz")
VOWELS = (
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
)
PLAIN = {"B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH", "T", "TH"}
PLAIN |= {"V", "W", "Y", "Z", "ZH"}
BEGINS, ENDS = 2, 3  # their tokens around what is written
MOST = 20  # phones of a word
PARTS = {"weight_ih_l0": "w_ih", "weight_hh_l0": "w_hh", "bias_ih_l0": "b_ih", "bias_hh_l0": "b_hh"}


def phones() -> list[str]:
    """The phones in the order of their ids, from the first one on: a vowel once for each stress, UW also without one."""
    found = []
    for phone in VOWELS.split():
        if phone in PLAIN:
            found.append(phone)
        else:
            found += [phone] if phone == "UW" else []
            found += [f"{phone}{stress}" for stress in range(3)]
    return found


def spec(config: Config) -> Spec:
    """The model of a checkpoint whose arrays have these sizes."""
    width, hidden = config.size("embedding"), config.size("hidden")

    def gru() -> dict[str, Any]:
        return {"layers": [{"kind": "gru", "width": hidden, "inputs": width}]}

    return {
        "embedder": {"kind": "tokens", "vocabulary": config.size("vocab_size"), "width": width},
        "core": gru(),
        "head": {"kind": "tokens", "closes": ENDS},
        "source": {
            "embedder": {"kind": "tokens", "vocabulary": config.size("letters"), "width": width},
            "core": gru(),
            "bridge": "handed",
        },
    }


def names(config: Config) -> Names:
    """Which of their arrays make each of ours."""
    found = {
        "source.embedder.table.weight": Taken(("enc_emb",)),
        "embedder.table.weight": Taken(("dec_emb",), first=BEGINS),
        "head.scores.weight": Taken(("fc_w",), first=BEGINS),
        "head.scores.bias": Taken(("fc_b",), first=BEGINS),
    }
    for ours, theirs in PARTS.items():
        found[f"source.core.layers.0.{ours}"] = Taken((f"enc_{theirs}",))
        found[f"core.layers.0.{ours}"] = Taken((f"dec_{theirs}",))
    return found


def task() -> Translate:
    """Words in, phones of ARPAbet with spaces between out, at most 20."""
    reads = ImportedTokenizer(_letters(), len(LETTERS), wrapped=True)
    writes = Symbols(["<pad>", "<s>", *phones()])
    limits = Lengths(source=MOST, target=MOST, stretch=0.0, more=MOST)
    return Translate(
        codec=reads, answers=writes, inputs=("word",), targets=("phones",), metric="per", lengths=limits
    )


def _letters() -> Tokenizer:
    """Each letter a token, in lower case, and the end behind the last one."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )

    words = models.WordLevel({letter: number for number, letter in enumerate(LETTERS)}, unk_token="<unk>")
    made = Tokenizer(words)
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    made.decoder = decoders.Fuse()
    made.add_special_tokens([AddedToken(name, special=True) for name in LETTERS[:3]])
    made.post_processor = processors.TemplateProcessing(
        "$A </s>", special_tokens=[("</s>", LETTERS.index("</s>"))]
    )
    return made
