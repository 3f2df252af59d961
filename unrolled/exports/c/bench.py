"""What a step of the C program costs: compiled as it would be to be fast, timed in C, a process of its own."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from unrolled.errors import RunFailed
from unrolled.exports.c.parity import compiler
from unrolled.exports.graph import example

if TYPE_CHECKING:
    from unrolled.model import Model

FLAGS = ("-O3", "-march=native")
TIMED = """
#define _POSIX_C_SOURCE 199309L
#include "model.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static const %(kind)s input[] = {%(values)s};
static unrolled_state state;
static float answer[UNROLLED_ANSWERS];
%(weights)s
static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
int main(int count, char **words) {
    int steps = count > 1 ? atoi(words[1]) : 1, warm = count > 2 ? atoi(words[2]) : 0;
    char line[256];
    %(load)s
    unrolled_start(&state);
    for (int at = -warm; at < steps; ++at) {
        double begun = seconds();
        int code = unrolled_step(%(given)s&state, %(input)s, answer);
        double taken = seconds() - begun;
        if (code == UNROLLED_FULL) { /* no room for more: from the beginning */
            unrolled_start(&state);
            --at;
        } else if (code != UNROLLED_OK) return code;
        else if (at >= 0) printf("%%.9f\\n", taken);
    }
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmRSS: %%d", &steps) == 1) printf("held %%d\\n", steps);
    return 0;
}
"""


def timed(
    model: Model, files: Mapping[str, bytes], steps: int, warm: int
) -> tuple[list[float], float | None]:
    """Seconds of each of `steps` steps after `warm` others, and the megabytes that the process held; None where the system
    doesn't say. Raises RunFailed without a C compiler, or where the program ends early.
    """
    raw = example(model, 1, None)
    tokens, apart = not raw.is_floating_point(), "model.bin" in files
    text = TIMED % {
        "kind": "int64_t" if tokens else "float",
        "values": ", ".join(map(str, raw.reshape(-1).tolist())),
        "input": "input[0]" if tokens else "input",
        "weights": "static unrolled_weights weights;" if apart else "",
        "load": 'if (unrolled_load(&weights, "model.bin")) return UNROLLED_UNREADABLE;' if apart else "",
        "given": "&weights, " if apart else "",
    }
    with tempfile.TemporaryDirectory(prefix="unrolled-bench-") as made:
        folder = Path(made)
        for name in ("model.h", "model.c", "model.bin"):
            if name in files:
                (folder / name).write_bytes(files[name])
        (folder / "bench.c").write_text(text, "utf-8")
        command = [compiler(), *FLAGS, "-o", "bench", "bench.c", "model.c", "-lm"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if not done.returncode:
            command = ["./bench", str(steps), str(warm)]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunFailed(f"bench: {command[0]} ended with code {done.returncode}: {done.stderr[:1000]}")
    words = [line.split() for line in done.stdout.splitlines()]
    held = [int(word[1]) * 1024 / 1e6 for word in words if word[0] == "held"]
    return [float(word[0]) for word in words if word[0] != "held"], held[0] if held else None
