"""Texts that go on: OpenAI's completions, whole or as a stream of events, and tunes with their sound."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from starlette.responses import Response

from unrolled.datasets.values import shown
from unrolled.errors import UserError
from unrolled.music import check, parse
from unrolled.music.midi import midi_bytes
from unrolled.music.synth import wav_bytes
from unrolled.running.sampling import Draw
from unrolled.serving.engine import Engine
from unrolled.serving.faults import Refused, body_of, invalid, refusal_of
from unrolled.serving.inbox import Events, Inbox, while_there
from unrolled.serving.raw import ids_of, plain
from unrolled.serving.schemas import Choice, Completion, CompletionBody, Logs, MusicBody, Tune, Usage
from unrolled.serving.seats import Piece, Writing
from unrolled.serving.served import Served

TEXTS = 32  # that one request may ask for: prompts times n
WIDEST = 64  # characters of a token, on average over the longest prompt: more are refused unread
ENTERED = "unrolled.entered"  # what a request's scope calls once it has its place in line
SHORT = 10_000  # characters that are encoded in no time; more of them beside the event loop


class Asked:
    """One request for texts: the prompts as tokens, and a `Writing` for each text."""

    def __init__(self, body: CompletionBody, engine: Engine, inbox: Inbox) -> None:
        self.body, self.engine, self.inbox = body, engine, inbox
        self.task: Any = engine.model.task
        self.prompts = prompts(body, engine)
        if len(self.prompts) * body.n > TEXTS:
            raise invalid(
                "n", f"{len(self.prompts)} prompts times n={body.n}; at most {TEXTS} texts a request"
            )
        self.seed = secrets.randbits(48) if body.seed is None else body.seed
        self.id, self.created = f"cmpl-{secrets.token_hex(12)}", int(time.time())
        self.texts = [
            self._writing(at, ids, number)
            for at, (_, ids) in enumerate(self.prompts)
            for number in range(body.n)
        ]
        self.offsets = [len(prompt) if body.echo else 0 for prompt, _ in self.prompts for _ in range(body.n)]

    def _writing(self, at: int, ids: list[int], number: int) -> Writing:
        body, task, limits = self.body, self.task, self.engine.limits
        length = min(task.length, limits.length) if body.max_tokens is None else body.max_tokens
        if length > limits.length:
            raise invalid("max_tokens", f"{shown(length)}; at most {limits.length} are written")
        stops = [body.stop] if isinstance(body.stop, str) else body.stop or []
        for place, stop in enumerate(stops):
            plain(stop, f"stop.{place}")
        temperature = task.temperature if body.temperature is None else body.temperature
        index = at * body.n + number

        def tell(piece: Piece) -> None:
            self.inbox.tell((index, piece))

        return Writing(
            tell, task.codec, ids, draw=Draw(temperature, body.top_k, body.top_p, self.seed), length=length,
            number=number, stops=stops, whole=not body.stream, logs=body.logprobs,
            context=None if self.engine.model.fixed_state else task.context,
        )  # fmt: skip

    def choice(self, index: int, piece: Piece, before: str = "") -> Choice:
        """What a piece adds to a text."""
        logs = None
        if self.body.logprobs is not None:
            name = self.task.codec.token_text
            names = [name(token) for token, _, _ in piece.logs]
            offsets = []
            for spelled in names:
                offsets.append(self.offsets[index])
                self.offsets[index] += len(spelled)
            logs = Logs(
                tokens=names, token_logprobs=[own for _, own, _ in piece.logs], text_offset=offsets,
                top_logprobs=[{name(token): log for token, log in best} for _, _, best in piece.logs],
            )  # fmt: skip
        reason: Any = piece.reason
        return Choice(text=before + piece.text, index=index, logprobs=logs, finish_reason=reason)

    def prompt_of(self, index: int) -> str:
        """The prompt that a text begins with, where it is to be told."""
        return self.prompts[index // self.body.n][0] if self.body.echo else ""

    def reply(self, choices: list[Choice], usage: Usage | None = None) -> Completion:
        """Texts, or pieces of them, as a whole."""
        return Completion(
            id=self.id, created=self.created, model=self.body.model, choices=choices, usage=usage
        )

    def usage(self) -> Usage:
        """Tokens read and written."""
        read, written = sum(len(ids) for _, ids in self.prompts), sum(text.tokens for text in self.texts)
        return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)

    def leave(self) -> None:
        """Frees the rows of all texts that are still being written."""
        for text in self.texts:
            if text.reason is None and not text.gone:
                self.engine.leave(text)


def prompts(body: CompletionBody, engine: Engine) -> list[tuple[str, list[int]]]:
    """Each prompt as text and as tokens. Raises Refused for one that is too long, or no text."""
    codec, given = engine.model.task.codec, body.prompt
    found: list[tuple[str, list[int]]] = []
    if isinstance(given, list) and isinstance(given[0], int):
        ids = ids_of(codec.size, given, "prompt")
        found.append((codec.decode(ids), ids))
    else:
        for at, text in enumerate([given] if isinstance(given, str) else given):
            field = "prompt" if isinstance(given, str) else f"prompt.{at}"
            plain(text, field)
            if len(str(text)) > WIDEST * engine.limits.prompt:
                raise invalid(
                    field, f"{len(str(text))} characters; at most {engine.limits.prompt} tokens are read"
                )
            found.append((str(text), codec.encode(str(text)).tolist()))
    for at, (_, ids) in enumerate(found):
        if len(ids) > engine.limits.prompt:
            raise invalid(
                "prompt" if len(found) == 1 else f"prompt.{at}",
                f"{len(ids)} tokens; at most {engine.limits.prompt} are read",
            )
    return found


async def complete(body: CompletionBody, request: Request, served: Served) -> Completion | Response:
    """Whole texts, or events as they are written."""
    engine = served.engine(body.model, ("generate",))
    if not engine.streams:
        raise Refused(422, "this model cannot stream, so it can't write", "model", "cannot_stream")

    def slow() -> None:
        engine.counters.dropped += 1
        asked.leave()

    inbox = Inbox(served.limits.buffer, slow)
    given = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    if sum(len(text) for text in given if isinstance(text, str)) > SHORT:
        asked = await asyncio.to_thread(Asked, body, engine, inbox)
    else:
        asked = Asked(body, engine, inbox)
    engine.submit(asked.texts)
    if ENTERED in request.scope:  # not behind the gate of a test
        request.scope[ENTERED]()
    if body.stream:
        return Events(_events(asked), inbox.dropped, asked.leave, served.limits.timeout)
    try:
        pieces = await while_there(request, lambda: _whole(asked), served.limits.timeout)
    finally:
        asked.leave()
    choices = [asked.choice(i, piece, asked.prompt_of(i)) for i, piece in enumerate(pieces)]
    return asked.reply(choices, asked.usage())


async def _whole(asked: Asked) -> list[Piece]:
    """Each text, once all are written."""
    found: dict[int, Piece] = {}
    while len(found) < len(asked.texts):
        for index, piece in await asked.inbox.next():
            if piece.error:
                raise Refused(500, piece.error, code="internal")
            found[index] = piece
    return [found[index] for index in range(len(asked.texts))]


async def _events(asked: Asked) -> AsyncIterator[str]:
    """Server-sent events: pieces as they are written, then how much it was, then the end."""
    running, head = len(asked.texts), _head(asked)
    try:
        if asked.body.echo:
            for index in range(running):
                yield _event(asked, [Choice(text=asked.prompt_of(index), index=index)])
        while running:
            told = await asked.inbox.next()
            for _, piece in told:
                if piece.error:
                    raise Refused(500, piece.error, code="internal")
                running -= piece.reason is not None
            yield "".join(_piece(asked, head, index, piece) for index, piece in told)
        options = asked.body.stream_options
        if options is not None and options.include_usage:
            yield _data(asked.reply([], asked.usage()).model_dump())
        yield "data: [DONE]\n\n"
    except Refused as error:  # the status was sent long ago
        refused = refusal_of(error)
        yield _data(body_of(refused.status, refused.message, None, refused.code))


def _head(asked: Asked) -> str:
    """An event up to its choices: the same for every piece of an answer."""
    return json.dumps(asked.reply([]).model_dump(exclude={"choices"}))[:-1]


def _piece(asked: Asked, head: str, index: int, piece: Piece) -> str:
    """The event of a piece; written by hand, since there is one for every token."""
    if asked.body.logprobs is not None:
        return _event(asked, [asked.choice(index, piece)])
    text, reason = json.dumps(piece.text), json.dumps(piece.reason)  # ASCII: some clients end lines at U+2028
    choice = f'{{"text": {text}, "index": {index}, "logprobs": null, "finish_reason": {reason}}}'
    return f'data: {head}, "choices": [{choice}]}}\n\n'


def _event(asked: Asked, choices: list[Choice]) -> str:
    return _data(asked.reply(choices).model_dump())


def _data(value: Any) -> str:
    return f"data: {json.dumps(value)}\n\n"


async def compose(body: MusicBody, request: Request, served: Served) -> Tune:
    """A tune in ABC notation, with its sound where asked for. Raises Refused for a model that writes other texts."""
    engine = served.engine(body.model, ("generate",))
    if not engine.model.task.music:
        raise Refused(422, f"{body.model} writes text, not tunes (ABC)", "model", "wrong_task")
    text = CompletionBody(
        model=body.model, prompt=body.prompt, max_tokens=body.max_tokens, temperature=body.temperature,
        seed=secrets.randbits(48) if body.seed is None else body.seed,
    )  # fmt: skip
    done = await complete(text, request, served)
    assert isinstance(done, Completion) and text.seed is not None
    choice = done.choices[0]
    abc = body.prompt + choice.text
    verdict = await asyncio.to_thread(check, abc)
    tune = Tune(
        model=body.model, seed=text.seed, abc=abc, playable=verdict.all_right, problem=verdict.reason,
        finish_reason=choice.finish_reason or "length",
    )  # fmt: skip
    if body.wav or body.midi:
        tune.wav, tune.midi, problem = await asyncio.to_thread(_sound, abc, body)
        tune.problem = tune.problem or problem
    return tune


def _sound(abc: str, body: MusicBody) -> tuple[str | None, str | None, str]:
    """WAV and MIDI in base64, and why there are none: a tune may be past playing."""
    try:
        tune = parse(abc)
        made = [
            base64.b64encode(write(tune)).decode() if wanted else None
            for wanted, write in ((body.wav, wav_bytes), (body.midi, midi_bytes))
        ]
    except UserError as error:
        return None, None, str(error)
    return made[0], made[1], ""
