"""The model card: what a portable model was trained on, for how long, how well it does, and the command that made it."""

from __future__ import annotations

from typing import Any

from unrolled.training.corpus import Corpus
from unrolled.training.recipe import Recipe


def card(
    name: str, command: str, recipe: Recipe, corpus: Corpus, parameters: int, scores: dict[str, Any] | None
) -> str:
    """The model card: data, budget, score with interval, licence of the data, the command."""
    lines = [
        f"# {name}", "",
        f"A model ({recipe.model.kind}, {parameters:,} parameters) that continues text, trained by Unrolled on "
        f"`{corpus.name}` ({corpus.train.characters:,} characters in {corpus.train.documents} documents).", "",
        f"* Budget: {recipe.budget}. Seed: {recipe.seed}. Codec: {corpus.codec.kind}, {corpus.codec.size} tokens.",
        f"* Command: `{command}`",
    ]  # fmt: skip
    if scores:
        test = scores["test"]
        low, high = test["interval"]
        lines += [
            f"* Test: {test['bits_per_character']:.4f} bits per character, 95 % interval {low:.4f} to {high:.4f}; "
            f"{test['bits_per_byte']:.4f} bits per byte; {test['documents']} documents, context: {test['context']}.",
            f"* Baseline ({scores['baseline']['name']}): {scores['baseline']['bits_per_character']:.4f}. "
            f"{scores['verdict']}",
        ]
    lines += [
        "* Licence: the weights follow the licence of the data they were trained on; see there.", "",
        "```python", "import unrolled as un", 'print(un.generate(un.load("."), length=400).texts[0])', "```",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
