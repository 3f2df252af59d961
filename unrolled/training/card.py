"""The model card: what a portable model was trained on, for how long, how well it does, and the command that made it."""

from __future__ import annotations

from typing import Any

from unrolled.training.material import Material
from unrolled.training.recipe import Recipe


def card(
    name: str,
    command: str,
    recipe: Recipe,
    material: Material,
    parameters: int,
    scores: dict[str, Any] | None,
) -> str:
    """The model card: data, budget, score with interval, licence of the data, the command."""
    lines = [
        f"# {name}", "",
        f"A model ({recipe.model.kind}, {parameters:,} parameters) that {material.about()}.", "",
        f"* Budget: {recipe.budget}. Seed: {recipe.seed}.",
        f"* Command: `{command}`",
    ]  # fmt: skip
    if scores:
        test = scores["test"]
        lines += [
            f"* Test: {material.words(test)} (95 % interval).",
            f"* Baseline ({scores['baseline']['name']}): {scores['baseline']['value']:.4f}. "
            f"{scores['verdict']}",
        ]
    lines += [
        "* Licence: the weights follow the licence of the data they were trained on; see there.", "",
        "```python", "import unrolled as un", 'model = un.load(".")', material.usage(), "```",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
