"""What serving costs: `python -m benchmarks.serving [engine | streams | overload | malformed] [seconds=60]`.

engine: tokens a second of 64 texts together beside one by one, without HTTP. streams: 64 ragged texts over HTTP, each held
against its offline text; time between tokens beside a single stream's. overload: 512 clients on a limit of 64. malformed:
2,000 requests that are wrong in many ways. Only loopback; clients share the machine's cores with the server.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import torch

from unrolled.datasets.characters import Characters
from unrolled.model import Model, build, preset
from unrolled.running.sampling import Draw
from unrolled.running.writer import Writer
from unrolled.serving.engine import Engine
from unrolled.serving.limits import Limits
from unrolled.serving.seats import Piece, Writing
from unrolled.tasks import GenerateText

STREAMS, TOKENS = 64, 128


def writer(kind: str, width: int, layers: int) -> Model:
    """An untrained model that writes characters: speed doesn't depend on what it has learnt."""
    torch.manual_seed(0)
    codec = Characters().fit(["".join(map(chr, range(32, 126))) + "\n"])
    model = build(preset(kind, codec.size, width=width, layers=layers))
    with torch.no_grad():
        model.head.scores.bias[0] = -50.0  # nothing ends before its length
    model.task = GenerateText(codec, 512)
    return model.eval()


MODELS = {"transformer 11M": ("transformer", 384, 6, 8.0), "lstm 256": ("lstm", 256, 1, 3.0)}


def engine_figures() -> bool:
    """Tokens a second, together and one by one."""
    good = True
    for name, (kind, width, layers, wanted) in MODELS.items():
        model = writer(kind, width, layers)
        few = 3 if layers > 1 else 16
        for prompt in (1, 64):
            alone = min(_alone(model, prompt, few) for _ in range(3))
            together = min(_together(model, prompt) for _ in range(3))
            gain = alone / together
            good &= gain >= wanted
            print(
                f"{name:<16} {model.parameter_count() / 1e6:5.2f} M  prompt {prompt:>3}  one by one {1 / alone:8.0f} tok/s  "
                f"64 together {1 / together:8.0f} tok/s  {gain:5.1f}x (wanted {wanted:.0f}x)",
                flush=True,
            )
    return good


def _alone(model: Model, prompt: int, texts: int) -> float:
    """Seconds a token, one text after another."""
    begun = time.perf_counter()
    for seed in range(texts):
        for _ in Writer(model, [5] * (prompt - 1), length=TOKENS, draw=Draw(0.8, seed=seed)):
            pass
    return (time.perf_counter() - begun) / (texts * TOKENS)


def _together(model: Model, prompt: int) -> float:
    """Seconds a token, 64 texts at once."""
    engine = Engine(model, Limits(streams=STREAMS, queue=STREAMS))
    engine.start()
    left, done = STREAMS, threading.Event()

    def tell(piece: Piece) -> None:
        nonlocal left
        left -= piece.reason is not None
        if not left:
            done.set()

    context = None if model.fixed_state else model.task.context
    seats = [
        Writing(
            tell, model.task.codec, [5] * (prompt - 1), draw=Draw(0.8, seed=n), length=TOKENS, context=context
        )
        for n in range(STREAMS)
    ]
    begun = time.perf_counter()
    engine.submit(seats)
    done.wait()
    took = time.perf_counter() - begun
    engine.close()
    return took / (STREAMS * TOKENS)


def main(words: list[str]) -> int:
    """Runs the parts named, or all."""
    options: dict[str, Any] = dict(word.split("=", 1) for word in words if "=" in word)
    names = [word for word in words if "=" not in word] or [*PARTS]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    return 0 if all([PARTS[name](**options) for name in names]) else 5


PARTS: dict[str, Any] = {"engine": engine_figures}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
