"""Sequence models, unrolled: one interface for every way of mixing information along time.

    import unrolled as un

    run = un.train(data="irish", model="lstm", budget="2m")
    print(run.evaluate(), run.generate(prompt="X:1").texts[0])

Names are imported when they are first used: `import unrolled` alone imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Every public name and the module it comes from, one by one. A test holds this table and `__all__` together.
_HOMES = {
    "Core": "unrolled.model",
    "Layout": "unrolled.layout",
    "MIXERS": "unrolled.mixers",
    "Mixer": "unrolled.mixer",
    "Model": "unrolled.model",
    "Run": "unrolled.training.run",
    "SequenceClassifier": "unrolled.estimators",
    "SequenceRegressor": "unrolled.estimators",
    "Source": "unrolled.state",
    "Stream": "unrolled.running.stream",
    "Trace": "unrolled.inspection.trace",
    "build": "unrolled.model",
    "compare": "unrolled.comparison.race",
    "demo": "unrolled.comparison.demo",
    "doctor": "unrolled.cli.doctor",
    "evaluate": "unrolled.training.evaluate",
    "export": "unrolled.exports.export",
    "finetune": "unrolled.comparison.finetune",
    "from_keras": "unrolled.model",
    "forecast": "unrolled.training.forecast",
    "from_torch": "unrolled.model",
    "generate": "unrolled.running.generate",
    "inspect": "unrolled.inspection.inspect",
    "learn": "unrolled.lessons.tour",
    "load": "unrolled.training.run",
    "predict": "unrolled.training.predict",
    "preset": "unrolled.model",
    "pretrained": "unrolled.transfer.pretrained",
    "probe": "unrolled.inspection.probe",
    "reproduce": "unrolled.comparison.reproduce",
    "serve": "unrolled.serving.serve",
    "to_torch": "unrolled.model",
    "train": "unrolled.training.train",
    "translate": "unrolled.training.translate",
}
_MODULES = ("law", "state")

if TYPE_CHECKING:
    from unrolled import law, state
    from unrolled.cli.doctor import doctor
    from unrolled.comparison.demo import demo
    from unrolled.comparison.finetune import finetune
    from unrolled.comparison.race import compare
    from unrolled.comparison.reproduce import reproduce
    from unrolled.estimators import SequenceClassifier, SequenceRegressor
    from unrolled.exports.export import export
    from unrolled.inspection.inspect import inspect
    from unrolled.inspection.probe import probe
    from unrolled.inspection.trace import Trace
    from unrolled.layout import Layout
    from unrolled.lessons.tour import learn
    from unrolled.mixer import Mixer
    from unrolled.mixers import MIXERS
    from unrolled.model import Core, Model, build, from_keras, from_torch, preset, to_torch
    from unrolled.running.generate import generate
    from unrolled.running.stream import Stream
    from unrolled.serving.serve import serve
    from unrolled.state import Source
    from unrolled.training.evaluate import evaluate
    from unrolled.training.forecast import forecast
    from unrolled.training.predict import predict
    from unrolled.training.run import Run, load
    from unrolled.training.train import train
    from unrolled.training.translate import translate
    from unrolled.transfer.pretrained import pretrained

__all__ = [
    "MIXERS",
    "Core",
    "Layout",
    "Mixer",
    "Model",
    "Run",
    "SequenceClassifier",
    "SequenceRegressor",
    "Source",
    "Stream",
    "Trace",
    "build",
    "compare",
    "demo",
    "doctor",
    "evaluate",
    "export",
    "finetune",
    "from_keras",
    "forecast",
    "from_torch",
    "generate",
    "inspect",
    "law",
    "learn",
    "load",
    "predict",
    "preset",
    "pretrained",
    "probe",
    "reproduce",
    "serve",
    "state",
    "to_torch",
    "train",
    "translate",
]


def __getattr__(name: str) -> Any:
    from pkgutil import resolve_name

    if name in _HOMES:
        value = resolve_name(f"{_HOMES[name]}:{name}")
    elif name in _MODULES:
        value = resolve_name(f"unrolled.{name}")
    else:
        raise AttributeError(f"module 'unrolled' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
