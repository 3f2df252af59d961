"""A model is three parts, embedder -> core -> head, and a plain dict that says which."""

from unrolled.model.core import Core
from unrolled.model.embedders import EMBEDDERS, TokenEmbedder
from unrolled.model.forecast_presets import forecasters, forecasting
from unrolled.model.heads import HEADS, TokenHead
from unrolled.model.interchange import from_torch, to_torch
from unrolled.model.keras_arrays import from_keras
from unrolled.model.model import Model, ModelState
from unrolled.model.presets import PRESETS, answering, known_kinds, matched_width, paired, preset
from unrolled.model.seq2seq import Seq2Seq, SourceReader
from unrolled.model.spec import build, build_core

__all__ = [
    "answering",
    "EMBEDDERS",
    "HEADS",
    "PRESETS",
    "Core",
    "Model",
    "ModelState",
    "Seq2Seq",
    "SourceReader",
    "TokenEmbedder",
    "TokenHead",
    "build",
    "build_core",
    "from_keras",
    "forecasters",
    "forecasting",
    "from_torch",
    "known_kinds",
    "matched_width",
    "paired",
    "preset",
    "to_torch",
]
