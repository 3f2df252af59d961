"""Sounds with what is said in them as pairs: a source that is heard, and a text that looks back at it step by step."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from unrolled.datasets.pair_codecs import PairCodecs
from unrolled.errors import UserError
from unrolled.training.paired import SAMPLED, Paired
from unrolled.training.recipe import Recipe
from unrolled.training.transcripts import Heard, heard


class Listened(Paired):
    """A table of sounds and their texts for an encoder and a decoder with attention (Chan et al. 2016, arXiv:1508.01211,
    "Listen, Attend and Spell"), where `Transcripts` is for one model and CTC: `model.attention=` chooses.
    """

    verb: str = "predict"
    verb_keys: tuple[str, ...] = ("data=YOUR_FILE",)

    def _chosen_codecs(self, asked: Recipe) -> PairCodecs:
        if asked.joint:
            raise UserError(
                "joint=true: what is heard and what is written have no one codec. Leave joint out."
            )
        return PairCodecs(self.dealt.codec, "characters", False, "sounds -> short texts")

    def _chosen_metric(self, asked: str) -> tuple[str, str]:
        return ("cer", "the answers are transcripts") if asked == "auto" else (asked, "as asked")

    def _fitted(self) -> tuple[Any, Any]:
        source, target = self.dealt.codecs()
        source.fit(value for value, _ in self.dealt.pairs("train"))
        target.fit(text for _, text in self.dealt.pairs("train"))
        return source, target

    @cached_property
    def _rivals(self) -> Heard:
        return heard(self._task, self._pairs["train"], self._pairs["test"])

    def sample(self, model: Any, seed: int) -> str:
        """A few validation rows: what is wanted, what the model writes."""
        pairs, task = self._pairs["valid"], self._task
        said = task.written(task.predict(model, pairs.inputs[:SAMPLED]))
        wanted = [task.answers.decode(ids) for ids in pairs.targets[:SAMPLED]]
        return "\n".join(f"wanted: {one}\nwrote:  {text}" for one, text in zip(wanted, said, strict=True))
