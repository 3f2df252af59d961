"""From a file that nobody has seen to an answered curl: `python -m benchmarks.afternoon [table | sounds | text ...]`.

Makes a CSV of texts, a folder of WAVs and a text file, each anew, and for each types what a newcomer types: `unrolled train
data=...`, `unrolled export`, `unrolled serve`, and pastes the curl line that serve prints. Prints the commands, what they
answered and how long they took. No other key is given.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

MOST = 600.0  # seconds for all of it
THINGS = [
    "the film",
    "the plot",
    "this book",
    "the acting",
    "our meal",
    "the service",
    "my phone",
    "its battery",
    "the room",
    "that song",
]
GOOD = ["great", "lovely", "wonderful", "superb", "charming", "delightful", "clever", "moving"]
BAD = ["awful", "dull", "terrible", "boring", "poor", "bad", "clumsy", "tedious"]


def table(folder: Path) -> str:
    """2,000 short opinions with a label."""
    draw = random.Random(7)
    lines = ["text,label"]
    for _ in range(2000):
        happy = draw.random() < 0.5
        said, other = (GOOD, BAD) if happy else (BAD, GOOD)
        text = f"{draw.choice(THINGS)} was {draw.choice(said)} and {draw.choice(said)}"
        if draw.random() < 0.4:
            text += f", not {draw.choice(other)} at all"
        lines.append(f'"{text}",{"good" if happy else "bad"}')
    (folder / "opinions.csv").write_text("\n".join(lines) + "\n")
    return "opinions.csv"


def sounds(folder: Path) -> str:
    """90 half-second WAVs of three kinds of whistle: rising, falling, level."""
    draw = np.random.default_rng(7)
    for kind, bend in (("rising", 1.0), ("falling", -1.0), ("level", 0.0)):
        (folder / "whistles" / kind).mkdir(parents=True)
        for number in range(30):
            t = np.arange(4000) / 8000
            pitch = draw.uniform(500, 900) * 2 ** (bend * draw.uniform(0.3, 0.8) * t / t[-1])
            signal_ = 0.4 * np.sin(2 * np.pi * np.cumsum(pitch) / 8000) + draw.normal(0, 0.03, len(t))
            with wave.open(str(folder / "whistles" / kind / f"{number:02}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes((32767 * np.clip(signal_, -1, 1)).astype("<i2").tobytes())
    return "whistles"


def text(folder: Path) -> str:
    """About 200 kB of sentences made by a small grammar."""
    draw = random.Random(7)
    who = ["a sailor", "the old king", "my neighbour", "every child", "the moon", "a grey cat", "nobody"]
    does = ["watches", "follows", "forgets", "finds", "carries", "paints", "hears"]
    what = ["the sea", "a red door", "two stars", "the long road", "an apple", "silence", "the last train"]
    sentences = [f"{draw.choice(who)} {draw.choice(does)} {draw.choice(what)}." for _ in range(6500)]
    (folder / "sentences.txt").write_text("\n".join(s[0].upper() + s[1:] for s in sentences) + "\n")
    return "sentences.txt"


KINDS: dict[str, Callable[[Path], str]] = {"table": table, "sounds": sounds, "text": text}


def afternoon(kind: str) -> bool:
    """One file's way; True where curl was answered in time."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = KINDS[kind](folder)
        begun = time.perf_counter()
        for words in (["train", f"data={data}"], ["export"]):
            typed(words)
            done = subprocess.run(command(words), cwd=folder, capture_output=True, text=True)
            print(last_of(done.stderr if words[0] == "train" else done.stdout), flush=True)
            if done.returncode:
                print(f"exit {done.returncode}: {done.stderr[-400:]}")
                return False
        typed(["serve"])
        answered = served(folder)
        seconds = time.perf_counter() - begun
        print(
            f"# {kind}: {seconds:.0f} s in all, {'within' if seconds <= MOST else 'BEYOND'} {MOST:.0f}\n",
            flush=True,
        )
        return answered and seconds <= MOST


def served(folder: Path) -> bool:
    """Starts the server, pastes its curl line, stops it."""
    server = subprocess.Popen(
        command(["serve", "port=0"]), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert server.stdout is not None
        for line in server.stdout:
            if "curl " in line:
                break
        else:
            return False
        line = line[line.index("curl ") :].strip()
        print(f"$ {line if len(line) < 300 else line[:300] + ' ...'}")
        for _ in range(50):
            done = subprocess.run(
                ["bash", "-c", line + " -sS --fail-with-body"], cwd=folder, capture_output=True, text=True
            )
            if done.returncode != 7:  # 7: not listening yet
                break
            time.sleep(0.2)
        print(done.stdout[:400] or done.stderr[:400])
        return done.returncode == 0
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def command(words: list[str]) -> list[str]:
    """What the shell would start."""
    return [sys.executable, "-m", "unrolled", *words]


def typed(words: list[str]) -> None:
    """Shows it as it is typed."""
    print(f"$ unrolled {' '.join(words)}", flush=True)


def last_of(talk: str) -> str:
    """The lines that tell how it went."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in talk.strip().splitlines()]
    told = [
        line for line in lines if line.startswith(("test ", "folder", "parity", "next", "  step", "  run"))
    ]
    return "\n".join(told or lines[-5:])


if __name__ == "__main__":
    asked = sys.argv[1:] or list(KINDS)
    print(f"# {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}")
    sys.exit(not all(afternoon(kind) for kind in asked))
