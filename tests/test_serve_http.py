"""The server as clients meet it: OpenAI's own, a fuzzer of its description, sessions, readers that go or sleep."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import string
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import openai
import pytest
import torch
import websockets.sync.client as ws
from serve_runs import serving, until, wav
from starlette.exceptions import HTTPException
from tiny_models import endless_writer_of, model_of, task_of, writer_of
from websockets.exceptions import ConnectionClosedError

import unrolled as un
from unrolled.datasets.characters import Characters
from unrolled.datasets.labels import Labels
from unrolled.datasets.sound import Sound
from unrolled.datasets.spectra import LogMel
from unrolled.serving.served import Served
from unrolled.tasks import Classify, GenerateText

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    import numpy as np

    tone = Sound(np.sin(np.arange(4000) * 0.2).astype(np.float32), 8000)
    heard = Classify(
        codec=LogMel().fit([tone]), answers=Labels({"no": 1, "yes": 2}), inputs=("sound",), targets=("y",)
    )
    return {
        "writer": writer_of("transformer"), "lstm": writer_of("lstm"),
        "reviews": model_of(task_of("classify"), "gru"), "both": model_of(task_of("tag"), "bilstm"),
        "series": model_of(task_of("regress", "series"), "lstm"), "sounds": model_of(heard, "gru"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def server(models: dict[str, Any]) -> Iterator[tuple[Served, str, int]]:
    with serving(models, queue=100, sessions=3, ttl=8, prompt=400, body=300_000) as found:
        yield found


@pytest.fixture(scope="module")
def client(server: tuple[Served, str, int]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server[1], timeout=30, trust_env=False) as made:
        yield made


# --- texts


def test_openais_client_gets_the_offline_texts(
    server: tuple[Served, str, int], models: dict[str, Any]
) -> None:
    with openai.OpenAI(
        base_url=server[1] + "/v1", api_key="none", http_client=httpx.Client(trust_env=False)
    ) as one:
        assert {m.id for m in one.models.list()} == set(models)
        assert one.models.retrieve("writer").id == "writer"
        done = one.completions.create(
            model="writer", prompt="abc", max_tokens=60, temperature=0.9, seed=7, n=2
        )
        own = un.generate(models["writer"], "abc", count=2, length=60, temperature=0.9, seed=7)
        assert [c.text for c in done.choices] == [text[3:] for text in own.texts]
        assert done.usage is not None and done.usage.prompt_tokens == 3
        assert done.usage.completion_tokens == sum(own.tokens)
        events = list(
            one.completions.create(
                model="lstm", prompt="h", max_tokens=40, temperature=1.1, seed=3, stream=True, echo=True,
                stream_options={"include_usage": True},
            )
        )  # fmt: skip
        own = un.generate(models["lstm"], "h", length=40, temperature=1.1, seed=3)
        assert "".join(c.text for event in events for c in event.choices) == own.texts[0]
        assert events[-1].usage is not None and events[-1].usage.completion_tokens == own.tokens[0]
        logged = one.completions.create(model="lstm", prompt="a", max_tokens=5, seed=1, logprobs=2)
        logs = logged.choices[0].logprobs
        assert logs is not None and len(logs.tokens or []) == len(logs.token_logprobs or []) <= 5
        with pytest.raises(openai.NotFoundError, match="Did you mean 'lstm'"):
            one.completions.create(model="lstn", prompt="a")


def test_concurrent_askers_get_their_own(client: httpx.Client, models: dict[str, Any]) -> None:
    def ask(number: int) -> tuple[int, Any]:
        body = {
            "model": "writer",
            "prompt": "abcd"[: number % 5],
            "max_tokens": 5 + number,
            "seed": number,
            "temperature": 1,
        }
        return number, client.post("/v1/completions", json=body).json()

    with ThreadPoolExecutor(16) as pool:
        for number, reply in pool.map(ask, range(24)):
            prompt = "abcd"[: number % 5]
            own = un.generate(models["writer"], prompt, length=5 + number, temperature=1, seed=number)
            assert prompt + reply["choices"][0]["text"] == own.texts[0]


# --- rows


def test_rows_are_answered_as_predict_answers_them(
    client: httpx.Client, models: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": "a cat sat", "stars": 3}, {"text": "far away a dog", "stars": 1}]
    for route in ("predict", "classify"):
        said = client.post(f"/v1/{route}", json={"model": "reviews", "rows": rows}).json()
        own = un.predict(models["reviews"], rows).rows
        assert said["rows"] == [
            pytest.approx({k: row[k] for k in row if k in said["rows"][0]}, abs=1e-6) for row in own
        ]
    one = client.post("/v1/predict", json={"model": "reviews", "input": "a cat sat"}).json()
    assert one["rows"][0] == pytest.approx(said["rows"][0], abs=1e-6)
    series = {"model": "series", "input": [[1.5, 2], [None, 3]]}
    assert client.post("/v1/regress", json=series).json()["rows"][0].keys() == {"y", "z"}
    assert client.post("/v1/predict", json={"model": "sounds", "input": wav()}).status_code == 200
    assert client.post("/v1/tag", json={"model": "both", "input": "a cat"}).json()["rows"][0]["y"]
    assert (
        client.post("/v1/tag", json={"model": "reviews", "input": "a cat"}).json()["error"]["code"]
        == "wrong_task"
    )
    assert capsys.readouterr().err == ""  # what clients send fills no log


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("completions", {"model": "lstm", "prompt": [3, 99]}, "prompt.1"),
    ("completions", {"model": "lstm", "prompt": [-1]}, "prompt.0"),
    ("completions", {"model": "lstm", "prompt": "a" * 401}, "prompt"),
    ("completions", {"model": "lstm", "prompt": "a", "temperature": float("nan")}, "temperature"),
    ("completions", {"model": "lstm", "prompt": "a", "temperature": "hot"}, "temperature"),
    ("completions", {"model": "lstm", "prompt": "a", "max_tokens": 0}, "max_tokens"),
    ("completions", {"model": "lstm", "prompt": "a", "max_tokens": 10**9}, "max_tokens"),
    ("completions", {"model": "lstm", "prompt": "a", "max_tokens": 1e300}, "max_tokens"),
    ("completions", {"model": "lstm", "prompt": "a", "max_tokens": 10**4000}, "max_tokens"),
    ("completions", {"model": "lstm", "prompt": "a", "seed": 1e300}, "seed"),
    ("completions", {"model": "lstm", "prompt": [10**4000]}, "prompt.0"),
    ("completions", {"model": "lstm", "prompt": "a", "p" * 9000: "b"}, "p" * 80),
    ("completions", {"model": "lstm", "prompt": "a", "promt": "b"}, "promt"),
    ("completions", {"model": "lstm", "prompt": "\ud800"}, "prompt"),
    ("completions", {"model": "lstm", "prompt": ["a"] * 16, "n": 8}, "n"),
    ("completions", {"model": "reviews", "prompt": "a"}, "model"),
    ("predict", {"model": "reviews", "rows": []}, "rows"),
    ("predict", {"model": "reviews"}, "rows"),
    ("predict", {"model": "reviews", "rows": [{"text": "a"}, {"txt": "a"}]}, "rows.1"),
    ("predict", {"model": "reviews", "rows": [{"txt": "a"}]}, "rows"),
    ("predict", {"model": "reviews", "rows": [{"text": 7}]}, "rows.0.text"),
    ("predict", {"model": "sounds", "rows": [{"sounds": "/etc/passwd"}]}, "rows.0"),
    ("predict", {"model": "reviews", "rows": [{"origin": "b"}]}, "rows.0.origin"),
    ("predict", {"model": "series", "input": [[1.0, float("nan")]]}, "rows.0.series.0.1"),
    ("predict", {"model": "series", "input": [[1.0, float("inf")]]}, "rows.0.series.0.1"),
    ("predict", {"model": "series", "input": [[1.0, 2.0, 3.0]]}, "rows.0.series"),
    ("predict", {"model": "series", "input": [[1.0, 2.0], [3.0]]}, "rows.0.series"),
    ("predict", {"model": "series", "input": "1,2"}, "rows.0.series"),
    ("predict", {"model": "series", "input": [[1.0, 10**400]]}, "rows.0.series.0.1"),
    ("predict", {"model": "sounds", "input": "/etc/passwd"}, "rows.0.sound"),
    ("predict", {"model": "sounds", "input": "../../etc/passwd"}, "rows.0.sound"),
    ("predict", {"model": "sounds", "input": "AAAA"}, "rows.0.sound"),
    ("predict", {"model": "lstm", "input": "a"}, "model"),
    ("generate/music", {"model": "lstm"}, "model"),
]


@pytest.mark.parametrize(("route", "body", "field"), WRONG)
def test_what_does_not_fit_is_refused_by_its_field(
    client: httpx.Client, route: str, body: dict[str, Any], field: str
) -> None:
    reply = client.post(
        f"/v1/{route}", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert (reply.status_code, reply.json()["error"]["param"]) == (422, field), reply.text
    assert 0 < len(reply.json()["error"]["message"]) < 300


@pytest.mark.parametrize(
    "path", ["/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/v1/models/..%2f..%2fetc%2fpasswd", "/v1/models/%00",
             "/v1//models", "/v1/models/....//", "//etc/passwd", "/v1/%c0%ae%c0%ae/x", "/static/..\\..\\x", "/.env"],
)  # fmt: skip
def test_traversal_finds_nothing(server: tuple[Served, str, int], path: str) -> None:
    reply = raw(
        server[2], f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server[2]}\r\nConnection: close\r\n\r\n".encode()
    )
    assert reply.split(b" ")[1] in (b"404", b"400"), reply
    assert b"root:" not in reply and b"Traceback" not in reply


def test_events_are_lines_whatever_the_text_holds_and_end_in_time() -> None:
    model = model_of(GenerateText(Characters().fit(["\u2028"]), 32), "lstm")
    with torch.no_grad():
        model.head.scores.bias[0] = -1e9  # a text never ends
        model.head.scores.bias[int(model.task.codec.encode("\u2028")[0])] = 9.0
    asked = {"model": "odd", "prompt": "", "stream": True}
    with (
        serving({"odd": model}, timeout=2, length=10**6) as (served, url, _),
        httpx.Client(base_url=url, timeout=30, trust_env=False) as client,
    ):
        with client.stream("POST", "/v1/completions", json={**asked, "max_tokens": 9}) as reply:
            lines = [line for line in reply.iter_lines() if line]
        assert lines.pop() == "data: [DONE]"
        said = [json.loads(line.removeprefix("data: "))["choices"][0]["text"] for line in lines]
        assert "\u2028" in "".join(said)
        with (
            client.stream("POST", "/v1/completions", json={**asked, "max_tokens": 10**6}) as reply,
            pytest.raises(httpx.RemoteProtocolError),
        ):
            list(reply.iter_lines())
        until(lambda: served.engines["odd"].active == 0)


def test_half_a_character_is_answered_whole_as_in_events() -> None:
    """Not in UTF-8, which can't, but in JSON's escapes."""
    writer = model_of(GenerateText(Characters().fit(["\ud800é"]), 32), "lstm")
    with torch.no_grad():
        writer.head.scores.bias[int(writer.task.codec.encode("\ud800")[0])] = 99
    answers = Labels({"\ud800": 99, "é": 1})
    task = Classify(codec=task_of("classify").codec, answers=answers, inputs=("text",), targets=("y",))
    reviews = model_of(task, "gru")
    with torch.no_grad():
        reviews.head.scores.bias[:] = torch.tensor([-99.0, 99.0])
    with (
        serving({"writer": writer, "reviews": reviews}) as (_, url, _),
        httpx.Client(base_url=url, trust_env=False, timeout=30) as one,
    ):
        for logprobs in (None, 1):
            asked = {"model": "writer", "max_tokens": 3, "logprobs": logprobs}
            whole = one.post("/v1/completions", json=asked)
            assert json.loads(whole.content)["choices"][0]["text"] == "\ud800" * 3
            events = one.post("/v1/completions", json=asked | {"stream": True}).text.split("\n\n")
            said = [json.loads(event.removeprefix("data: "))["choices"][0]["text"] for event in events[:-2]]
            assert "".join(said) == "\ud800" * 3
        found = one.post("/v1/predict", json={"model": "reviews", "input": "a"})
        assert json.loads(found.content)["rows"][0]["y"] == "\ud800"
        with torch.no_grad():
            reviews.head.scores.bias[:] = torch.tensor([99.0, -99.0])
        assert "é".encode() in one.post("/v1/predict", json={"model": "reviews", "input": "a"}).content


def test_a_long_prompt_is_refused_unread_and_holds_nobody_up(
    models: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = models["lstm"].task.codec
    encode, reading, go_on = codec.encode, threading.Event(), threading.Event()

    def slow(text: str) -> Any:
        if len(text) > 100:
            reading.set()
            go_on.wait(30)
        return encode(text)

    monkeypatch.setattr(type(codec), "encode", lambda _, text: slow(text))
    with serving({"lstm": models["lstm"]}) as (_, url, _), ThreadPoolExecutor(1) as pool:
        asked = {"model": "lstm", "max_tokens": 1}
        long = pool.submit(
            httpx.post, f"{url}/v1/completions", json={**asked, "prompt": "a" * 11_000}, timeout=60
        )
        assert reading.wait(10)
        assert httpx.get(f"{url}/health", timeout=20).status_code == 200 and not long.done()
        go_on.set()
        assert "11000 tokens; at most" in long.result().json()["error"]["message"]
        reading.clear()
        refused = httpx.post(f"{url}/v1/completions", json={**asked, "prompt": "a" * 600_000})
        assert "600000 characters" in refused.json()["error"]["message"] and not reading.is_set()


def test_all_requests_together_hold_so_much_and_no_more(models: dict[str, Any]) -> None:
    with (
        serving({"reviews": models["reviews"]}, body=20_000, held=40_000) as (served, url, port),
        httpx.Client(base_url=url, trust_env=False, timeout=30) as one,
        socket.create_connection(("127.0.0.1", port)) as slow,
    ):
        assert served.holding.most == 160_000
        head = f"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        slow.sendall(f"{head}Content-Length: 19000\r\n\r\n{' ' * 12_500}".encode())
        until(lambda: served.holding.held == 100_000)
        body = {"model": "reviews", "input": "a cat"}
        full = one.post("/v1/predict", json=body | {"input": "a cat " * 2_000})
        assert (full.status_code, full.headers["retry-after"]) == (429, "1"), full.text
        assert full.json()["error"]["type"] == "rate_limit_error"
        with ws.connect(f"ws://127.0.0.1:{port}/v1/stream", proxy=None) as session:
            session.recv()
            session.send(json.dumps({"push": "a cat " * 2_000}))
            assert json.loads(session.recv())["error"]["code"] == "too_much"
            session.send(json.dumps({"push": "a"}))
            assert json.loads(session.recv())["type"] == "answer"
        assert one.post("/v1/predict", json=body).status_code == 200
        slow.close()
        until(lambda: served.holding.held == 0)
        assert one.post("/v1/predict", json=body | {"input": "a cat " * 2_000}).status_code == 200
        assert one.post("/v1/predict", json=body | {"input": 7}).status_code == 422
        until(lambda: served.holding.held == 0)


def flat_flac(seconds: float) -> str:
    """Silence in a few bytes, in base64."""
    import base64
    import io

    import numpy as np
    import soundfile

    out = io.BytesIO()
    soundfile.write(out, np.zeros(int(seconds * 8000), np.float32), 8000, "PCM_16", format="FLAC")
    return base64.b64encode(out.getvalue()).decode()


def test_sound_and_images_are_refused_by_their_headers(
    models: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from unrolled.datasets import sound
    from unrolled.serving.holding import Holding
    from unrolled.serving.limits import Limits
    from unrolled.serving.raw import Refused, encoded_rows

    task, decoded = models["sounds"].task, []
    read = sound.read_sound
    monkeypatch.setattr(sound, "read_sound", lambda file: decoded.append(file) or read(file))
    with Holding(5_000_000).share() as share:
        with pytest.raises(Refused, match="70000 steps; at most 65536") as refused:
            encoded_rows(task, [{"sound": flat_flac(700)}], Limits(), share.take)
        assert refused.value.param == "rows.0.sound"
        with pytest.raises(HTTPException, match="takes more than 5000000 bytes"):
            encoded_rows(task, [{"sound": flat_flac(100)}] * 2, Limits(), share.take)
    assert not decoded
    with Holding(5_000_000).share() as share:
        assert len(encoded_rows(task, [{"sound": flat_flac(100)}], Limits(), share.take)[0]) > 9_000
    assert len(decoded) == 1


# --- sessions


def parted(served: Served) -> bool:
    """Whether the server knows by now that everybody has gone."""
    return not any(one.connected for one in served.sessions._open.values())


def test_a_session_goes_on_where_it_was(server: tuple[Served, str, int], models: dict[str, Any]) -> None:
    address = f"ws://127.0.0.1:{server[2]}/v1/stream"
    stream = un.Stream(models["reviews"])
    with ws.connect(f"{address}?model=reviews", proxy=None) as one:
        known = json.loads(one.recv())
        assert len(known["id"]) == 32 and known["steps"] == 0
        assert one.response is not None and one.response.headers["x-session"] == known["id"]
        one.send(json.dumps({"push": "a cat"}))
        told = [json.loads(one.recv()) for _ in range(3)]
        stream.push("a")
        assert told[0]["answer"] == pytest.approx(stream.answers()[0], abs=1e-5)
        stream.push("cat")
        assert told[1]["answer"] == pytest.approx(stream.answers()[0], abs=1e-5)
        assert told[2] == {"type": "pushed", "steps": 2}
        for wrong, field in (
            ({"ids": [10**6]}, "ids.0"),
            ({"push": 3}, "push"),
            ({"psh": 3}, "psh"),
            ({"push": ""}, "push"),
            ({"\ud800": 3}, "\ud800"),
            ({"ids": ["\ud800"]}, "ids.0"),
        ):
            one.send(json.dumps(wrong))
            assert json.loads(one.recv())["error"]["param"] == field
        one.send("{")
        assert json.loads(one.recv())["error"]["code"] == "invalid_json"
    until(lambda: parted(server[0]))
    with ws.connect(f"{address}?session={known['id']}", proxy=None) as one:
        assert json.loads(one.recv())["steps"] == 2
        one.send(json.dumps({"push": "sat"}))
        stream.push("sat")
        assert json.loads(one.recv())["answer"] == pytest.approx(stream.answers()[0], abs=1e-5)
        one.recv()
        one.send(json.dumps({"reset": True}))
        assert json.loads(one.recv()) == {"type": "reset"}
        one.send(json.dumps({"push": "sat"}))
        stream.reset()
        stream.push("sat")
        again = json.loads(one.recv())
        assert again["step"] == 1 and again["answer"] == pytest.approx(stream.answers()[0], abs=1e-5)
        one.recv()
        with ws.connect(f"{address}?session={known['id']}", proxy=None) as other:
            assert "connected already" in json.loads(other.recv())["error"]["message"]
        one.send(json.dumps({"close": True}))
        assert json.loads(one.recv())["type"] == "closed"
    with ws.connect(f"{address}?session={known['id']}", proxy=None) as one:
        assert "no session" in json.loads(one.recv())["error"]["message"]


def test_sessions_are_few_kept_a_while_and_of_one_model(server: tuple[Served, str, int]) -> None:
    served, _, port = server
    address = f"ws://127.0.0.1:{port}/v1/stream"
    until(lambda: parted(served))
    with ws.connect(f"{address}?model=both", proxy=None) as one:
        assert (
            "cannot stream: its output at t needs inputs after t"
            in json.loads(one.recv())["error"]["message"]
        )
    with ws.connect(f"{address}?model={quote('ä' * 90)}", proxy=None) as one:
        assert "no model is called" in json.loads(one.recv())["error"]["message"]
        with pytest.raises(ConnectionClosedError) as closed:
            one.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4404
    with ExitStack() as stack:
        three = [stack.enter_context(ws.connect(f"{address}?model=lstm", proxy=None)) for _ in range(3)]
        ids = [json.loads(one.recv())["id"] for one in three]
        assert len(set(ids)) == 3
        with ws.connect(f"{address}?model=lstm", proxy=None) as one:
            assert "sessions are open" in json.loads(one.recv())["error"]["message"]
    until(lambda: parted(served))
    with ws.connect(f"{address}?model=writer&session={ids[0]}", proxy=None) as one:
        assert "is of lstm, not of writer" in json.loads(one.recv())["error"]["message"]
    for session in served.sessions._open.values():
        session.used -= 8
    until(lambda: served.sessions.count("lstm") == 0)


def test_a_session_that_nothing_comes_for_is_closed_in_words() -> None:
    with (
        serving({"reviews": model_of(task_of("classify"), "gru")}, ttl=1) as (served, _, port),
        ws.connect(f"ws://127.0.0.1:{port}/v1/stream", proxy=None) as one,
    ):
        id = json.loads(one.recv())["id"]
        one.send(json.dumps({"push": "a"}))
        one.recv(), one.recv()
        assert "nothing came for 1 s" in json.loads(one.recv(timeout=20))["error"]["message"]
        with pytest.raises(ConnectionClosedError) as closed:
            one.recv(timeout=20)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4408
        until(lambda: served.sessions.count("reviews") == 0 and served.engines["reviews"].active == 0)
        with ws.connect(f"ws://127.0.0.1:{port}/v1/stream?session={id}", proxy=None) as again:
            assert "no session has this id" in json.loads(again.recv())["error"]["message"]


# --- those who go, and those who sleep


@pytest.mark.parametrize("over", ["timeout", "stalled"])
def test_a_reader_that_takes_nothing_is_cut_though_the_buffer_has_room(over: str) -> None:
    """By the server's own clock, and by the system's: only the latter ends a connection that has something unsent."""
    wide = Labels({f"{number:0>200}": 1 for number in range(200)})
    task = Classify(codec=task_of("classify").codec, answers=wide, inputs=("text",), targets=("y",))
    with (
        serving({"reviews": model_of(task, "gru")}, prompt=9_000, buffer=10**6, **{over: 2}) as (
            served,
            _,
            port,
        ),
        socket.socket() as one,
    ):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(("127.0.0.1", port))
        head = f"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        one.sendall(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\n\r\n".encode())
        assert one.recv(12) == b"HTTP/1.1 101"
        text = json.dumps({"push": "a " * 500}).encode()
        one.sendall(b"\x81\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text)
        until(lambda: served.sessions.count("reviews") == 1)
        until(lambda: served.engines["reviews"].counters.steps == 500)
        held = served.sessions._open.copy()
        until(lambda: parted(served), 30)
        if over == "timeout":
            assert served.sessions.count("reviews") == 0
        else:
            assert list(held) == list(served.sessions._open)  # cut off, it may be resumed
            until(
                lambda: one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0 or not one.recv(1 << 20), 30
            )


def test_whoever_goes_frees_the_row(server: tuple[Served, str, int]) -> None:
    served, _, port = server
    body = json.dumps(
        {"model": "lstm", "prompt": "a", "max_tokens": 4000, "temperature": 9, "top_k": 3, "stream": True}
    )
    for streamed in (True, False):
        sent = body if streamed else body.replace('"stream": true', '"stream": false')
        gone = []
        for _ in range(6):
            one = socket.create_connection(("127.0.0.1", port))
            head = f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            one.sendall(f"{head}Content-Length: {len(sent)}\r\n\r\n{sent}".encode())
            gone.append(one)
        for one in gone:
            if streamed:
                one.recv(100)
            one.close()
        until(lambda: served.engines["lstm"].idle and served.engines["lstm"].active == 0)


def test_a_slow_reader_is_dropped() -> None:
    from unrolled.serving.faults import Refused
    from unrolled.serving.inbox import Inbox

    left = []

    async def sleeps() -> None:
        inbox = Inbox(3, lambda: left.append(1))
        for number in range(10):
            inbox.tell(number)
        with pytest.raises(Refused, match="too slowly"):
            await inbox.next()

    asyncio.run(sleeps())
    assert left == [1]
    with (
        serving({"lstm": endless_writer_of("lstm")}, buffer=8, length=200_000) as (served, _, port),
        socket.socket() as one,
    ):
        body = json.dumps({"model": "lstm", "max_tokens": 200_000, "seed": 1, "stream": True})
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(("127.0.0.1", port))
        head = (
            f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        )
        one.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        until(lambda: served.engines["lstm"].counters.dropped == 1, 60)
        until(lambda: served.engines["lstm"].active == 0)


# --- malformed


def raw(port: int, data: bytes) -> bytes:
    """What comes back for bytes as they are."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
        one.sendall(data)
        found = b""
        with suppress(OSError):  # refused and closed before all of it was sent
            one.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while part := one.recv(65536):
                found += part
        return found


def malformed(number: int, port: int) -> bytes:
    """A request that is wrong in one of many ways; the same for the same number."""
    rng = random.Random(number)
    body: Any = {"model": "lstm", "prompt": "a", "max_tokens": 3}
    key = rng.choice(
        ["model", "prompt", "max_tokens", "n", "stop", "seed", "temperature", "top_p", "stream", "\0"]
    )
    body[key] = rng.choice(
        [
            None,
            -1,
            1e308,
            2**70,
            [],
            [[]],
            {},
            {"a": 1},
            "\0",
            "x" * 5000,
            [None],
            True,
            [1, "a"],
            float("nan"),
            [-5],
        ]
    )
    text = json.dumps(body).encode()
    how = number % 8
    if how == 1:
        text = text[: rng.randrange(len(text))]
    elif how == 2:
        text = bytes(rng.randrange(256) for _ in range(rng.randrange(200)))
    elif how == 3:
        text = b"[" * rng.choice([10, 1000, 100_000]) + b"]"
    route = rng.choice(
        ["completions", "predict", "classify", "generate", "generate/music", "tag", "stream", "models"]
    )
    head = f"POST /v1/{route} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    length = len(text) + (rng.choice([-3, 7]) if how == 4 else 0)
    if how == 5:
        head = head.replace("HTTP/1.1", rng.choice(["HTTP/9.9", "HTP/1.1", "", "HTTP/1.1\r\n\x00bad"]))
    if how == 6:
        head += "".join(rng.choice(string.printable[:90]) for _ in range(60)) + "\r\n"
    if how == 7:
        return (
            f"{head}Transfer-Encoding: chunked\r\n\r\n{rng.choice(['zz', '-1', 'ffffffffff'])}\r\n".encode()
            + text
        )
    return f"{head}Content-Length: {max(0, length)}\r\n\r\n".encode() + text


@pytest.mark.parametrize("count", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_malformed_requests_are_refused_in_words(
    server: tuple[Served, str, int], client: httpx.Client, count: int
) -> None:
    for number in range(count):
        reply = raw(server[2], malformed(number, server[2]))
        status = int(reply.split(b" ")[1]) if reply else 0
        assert status < 500, (number, malformed(number, server[2]), reply)
        assert b"Traceback" not in reply and b'File "' not in reply
    assert client.get("/health").text == "ok\n"
    found = client.get("/metrics").text
    assert 'unrolled_failures_total{model="lstm"} 0' in found and 'route="/v1/completions"' in found


def test_the_description_is_true(tmp_path: Path) -> None:
    """schemathesis, all checks, against a server of its own: sound can't be guessed, so it isn't served here."""
    import subprocess
    import sys

    tiny = {"writer": writer_of("lstm"), "reviews": model_of(task_of("classify"), "gru"),
            "series": model_of(task_of("regress", "series"), "lstm")}  # fmt: skip
    with serving(tiny, length=8, prompt=100_000, queue=1000) as (_, address, _port):
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json", "--checks", "all", "-n", "6",
             "--phases", "examples,coverage,fuzzing", "--seed", "1", "--no-color", "--request-timeout", "20"],
            capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
