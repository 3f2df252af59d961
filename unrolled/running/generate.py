"""The verb `generate`: text in, text out, with likelihoods, speed, and, for tunes, how many can be played."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from unrolled.errors import UserError
from unrolled.running.sampling import Draw
from unrolled.running.stream import Stream
from unrolled.running.writer import BOUNDARY, Writer

if TYPE_CHECKING:
    from unrolled.model import Model

__all__ = ["Generated", "Pieces", "Writer", "generate"]

Write = Callable[[str], object]


_WHOLE: WeakKeyDictionary[Any, dict[int, str]] = WeakKeyDictionary()  # codec -> what tokens say by themselves


class Pieces:
    """Turns a text's tokens into pieces of text as they come, holding back a half-written character."""

    def __init__(self, codec: Any) -> None:
        self._codec, self._held = codec, []  # type: Any, list[int]
        self._known = _WHOLE.setdefault(codec, {})

    def push(self, token: int) -> str:
        """The text that this token completes; "" while a character of several tokens is unfinished."""
        if not self._held:
            if token not in self._known:
                text = self._codec.decode([token])
                self._known[token] = "" if text.endswith("\ufffd") else text
            if text := self._known[token]:
                return text
        self._held.append(token)
        text = self._codec.decode(self._held)
        if (not text or text.endswith("\ufffd")) and len(self._held) < 8:
            return ""
        return self.flush()

    def flush(self) -> str:
        """The text of what is held back, as well as it can be read."""
        text = self._codec.decode(self._held) if self._held else ""
        self._held = []
        return str(text)


@dataclass(frozen=True)
class Generated:
    """What `generate` wrote. Lists have one entry a sample."""

    texts: list[str]  # prompt and continuation
    tokens: list[int]  # written after the prompt, a closing boundary not counted
    ended: list[bool]  # True: the model closed the document itself
    log_likelihoods: list[float]  # nats of what was written, under the model itself
    seconds: float
    tokens_per_second: float
    next: list[tuple[str, float]] = field(default_factory=list)  # with top=: the likeliest next tokens
    report: Any = None  # of tunes: how many parse, how many have every bar right
    files: list[str] = field(default_factory=list)
    played: int | None = None  # the sample that was written as sound
    checked: bool = False  # whether `require` judges

    def require(self) -> None:
        """Raises CheckFailed when a check was asked for and the tunes aren't good enough."""
        if self.checked:
            self.report.require()

    @property
    def ranked(self) -> list[int]:
        """The samples, the one with the highest likelihood a token, a closing boundary included, first."""
        written = [max(n + ended, 1) for n, ended in zip(self.tokens, self.ended, strict=True)]
        rate = [log / n for log, n in zip(self.log_likelihoods, written, strict=True)]
        return sorted(range(len(rate)), key=lambda i: -rate[i])


def generate(
    model: Model,
    prompt: str = "",
    count: int = 1,
    length: int | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    stop: str | None = None,
    shortest: int = 0,
    top: int | None = None,
    check: bool = False,
    wav: str | Path | None = None,
    midi: str | Path | None = None,
    write: Write | None = None,
) -> Generated:
    """Continues `prompt` `count` times, to the document's end, to `stop`, or for `length` tokens.

    `length` defaults to what the model's task calls long (1000 for tunes, 400 for text), `temperature` to what suits
    it (0.5 and 0.8); before `shortest` tokens no text ends. `top`: nothing is written; the likeliest next tokens after
    the prompt are returned as `next`. `check`: `require()` of what is returned raises CheckFailed unless the tunes are
    good enough. `wav`, `midi`: where the likeliest playable tune is written as sound. `write` receives the text as it
    is written (several samples: when all are done).
    """
    if getattr(model.task, "kind", "generate") != "generate":
        raise UserError(
            f"this model answers rows ({model.task.kind}) and doesn't go on with text: use unrolled predict."
        )
    task = _text_task(model, check=check, sound=bool(wav or midi))
    draw = Draw(task.temperature if temperature is None else temperature, top_k, top_p, seed)
    if top is not None:
        return _look_ahead(model, prompt, top, write)
    limit = task.length if length is None else length
    writer = Writer(model, task.codec.encode(prompt), count=count, length=limit, draw=draw, shortest=shortest)
    result = _written(writer, task, prompt, stop, write if count == 1 else None)
    if write and count > 1:
        write("".join(text.rstrip("\n") + "\n\n" for text in result.texts))
    if wav or midi:
        ranked = result.ranked
        number, files = task.play([result.texts[i] for i in ranked], wav=wav, midi=midi)
        result = replace(result, files=files, played=ranked[number])
    return replace(result, checked=check)


def _written(writer: Writer, task: Any, prompt: str, stop: str | None, write: Write | None) -> Generated:
    """Runs the loop to its end, and judges the texts where they are tunes."""
    begun = time.perf_counter()
    texts, tokens, ended = _collect(writer, task.codec, prompt, stop, write)
    seconds = time.perf_counter() - begun
    return Generated(
        texts=texts,
        tokens=tokens,
        ended=ended,
        log_likelihoods=writer.log_likelihoods,
        seconds=seconds,
        tokens_per_second=(sum(tokens) + sum(ended)) / seconds,
        report=task.report(texts),
    )


def _text_task(model: Model, check: bool, sound: bool) -> Any:
    task = model.task
    if task is None:
        raise UserError(
            "this model has no task, so there is no codec to write text with: load it from a run."
        )
    if not task.music and (check or sound):
        raise UserError(f"check, wav and midi are for tunes (ABC); this model writes {task.codec.kind}.")
    return task


def _look_ahead(model: Model, prompt: str, top: int, write: Write | None) -> Generated:
    begun = time.perf_counter()
    stream = Stream(model)
    stream.push(prompt)
    best = stream.likeliest(top)
    seconds = time.perf_counter() - begun
    if write:
        for text, probability in best:
            write(f"{100 * probability:6.2f} %  {text!r}\n")
    return Generated([prompt], [0], [False], [0.0], seconds, 0.0, next=best)


def _collect(
    writer: Writer, codec: Any, prompt: str, stop: str | None, write: Write | None
) -> tuple[list[str], list[int], list[bool]]:
    """Runs the loop -> (texts with the prompt, tokens written, ended by itself), a sample each."""
    pieces = [Pieces(codec) for _ in range(writer.count)]
    ids: list[list[int]] = [[] for _ in range(writer.count)]
    tails, ended = [""] * writer.count, [False] * writer.count
    if write:
        write(prompt)
    for written in writer:
        for sample, token in written:
            if token == BOUNDARY:
                ended[sample] = True
                continue
            ids[sample].append(token)
            if not (write or stop):
                continue
            piece = pieces[sample].push(token)
            if stop:
                tail = tails[sample] + piece
                over = len(tail) - len(_until(tail, stop))  # characters after the stop
                tails[sample] = tail[-len(stop) :]
                if stop in tail:
                    writer.finish(sample)
                    piece = piece[: len(piece) - over]
            if write:
                write(piece)
    if write:
        write("".join(piece.flush() for piece in pieces))
    texts = [prompt + _until(codec.decode(sample), stop) for sample in ids]
    return texts, [len(sample) for sample in ids], ended


def _until(text: str, stop: str | None) -> str:
    """The text up to and with the first `stop` in it."""
    at = text.find(stop) if stop else -1
    return text if at < 0 or stop is None else text[: at + len(stop)]
