"""A model that transcribes outside Python: as an export with its program, and behind the server."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import wave
from pathlib import Path

import httpx
import pytest
import torch
import websockets.sync.client as ws
from heard_models import RATE, fitted, model_of, noise, task_of
from serve_runs import serving

import unrolled as un
from unrolled.datasets.sound import read_sound
from unrolled.model import Model


def wav(seconds: float, seed: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((noise(seconds, seed) * 20000).astype("<i2").tobytes())
    return out.getvalue()


def in_pieces(path: Path, cuts: tuple[int, ...]) -> list[str]:
    """A WAV file's samples between these places, each part as a WAV file in base64."""
    with wave.open(str(path)) as file:
        rate, samples = file.getframerate(), file.readframes(file.getnframes())
    found = []
    for begin, end in zip(cuts, (*cuts[1:], len(samples) // 2), strict=True):
        out = io.BytesIO()
        with wave.open(out, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(samples[2 * begin : 2 * end])
        found.append(base64.b64encode(out.getvalue()).decode())
    return found


@pytest.fixture
def model() -> Model:
    made = model_of(task_of(fitted()))
    with torch.no_grad():
        made.head.scores.bias[1:17] -= 100  # nibbles, which people never see
    return made


def test_an_export_hears_what_the_model_hears(tmp_path: Path, model: Model) -> None:
    un.export(model, to="onnx", out=str(tmp_path / "onnx"))
    sound = tmp_path / "heard.wav"
    for seconds in (0.8, 0.81, 0.82):  # the last step is filled otherwise in each
        sound.write_bytes(wav(seconds, 2))
        done = subprocess.run(
            [sys.executable, "run.py", str(sound)],
            cwd=tmp_path / "onnx",
            capture_output=True,
            text=True,
            check=True,
        )
        wanted = model.task.predict(model, [model.task.codec.encode(read_sound(sound))])[0]
        assert json.loads(done.stdout) == {"text": wanted} and wanted


def test_the_server_transcribes_and_tells_partial_texts(tmp_path: Path, model: Model) -> None:
    path = tmp_path / "heard.wav"
    path.write_bytes(wav(0.9, 4))
    sent = base64.b64encode(path.read_bytes()).decode()
    steps = model.task.codec.encode(read_sound(path))
    wanted, early = model.task.predict(model, [steps])[0], model.task.predict_every(model, [steps])[0]
    with serving({"ears": model}) as (_, address, port):
        for route in ("transcribe", "predict"):
            reply = httpx.post(
                f"{address}/v1/{route}", json={"model": "ears", "input": sent}, trust_env=False
            )
            assert reply.status_code == 200 and reply.json()["rows"] == [{"text": wanted}]
        with ws.connect(f"ws://127.0.0.1:{port}/v1/stream?model=ears", proxy=None) as one:
            one.recv()
            for _ in range(2):  # a session that was reset has forgotten what was said
                one.send(json.dumps({"push": sent}))
                told = [json.loads(one.recv()) for _ in range(len(steps) + 1)]
                assert [message["answer"]["text"] for message in told[:-1]] == early and early[-1] == wanted
                one.send(json.dumps({"reset": True}))
                assert json.loads(one.recv()) == {"type": "reset"}
            for _ in range(
                2
            ):  # in pieces that end within frames, it is the same sound: the end begins another one
                heard = []
                for message in [{"piece": piece} for piece in in_pieces(path, (0, 801, 803, 4000, 7100))] + [
                    {"end": True}
                ]:
                    one.send(json.dumps(message))
                    while (told := json.loads(one.recv()))["type"] == "answer":
                        heard.append(told["answer"]["text"])
                    assert told["type"] == "pushed", told
                assert heard == early
                one.send(json.dumps({"reset": True}))
                one.recv()
            for wrong, said in (({"end": False}, "expected true"), ({"piece": 3}, "piece")):
                one.send(json.dumps(wrong))
                told = json.loads(one.recv())
                assert told["type"] == "error" and said in json.dumps(told)
