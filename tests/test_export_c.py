"""C: what is written compiles without a warning and says what the model says, whatever the core is made of."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

import unrolled as un
from unrolled.errors import CheckFailed, RunFailed, UserError
from unrolled.exports.bench import measured
from unrolled.exports.c import parity
from unrolled.exports.c.operators import TABLE
from unrolled.exports.c.parity import check, compiler
from unrolled.exports.c.pointwise import POINTWISE
from unrolled.exports.c.source import compiled
from unrolled.exports.c.support import SUPPORT, needed
from unrolled.exports.c.texts import quoted
from unrolled.exports.c.weights import scales_of
from unrolled.exports.c.write import write_c
from unrolled.exports.graph import example
from unrolled.exports.parity import require
from unrolled.exports.rounding import rounded
from unrolled.mixer import Mixer
from unrolled.model import Model, answering, build, preset

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1", "-fsanitize=address,undefined")
CAPACITY = 12
LENGTHS = (5, 1, 12)


def tokens(kind: str, **layer: Any) -> dict[str, Any]:
    """A small model of tokens; `layer`: more options of its first layer."""
    spec = preset(kind, 11, width=16, layers=1, heads=2)
    spec["core"]["layers"][0] |= layer
    return spec


def answered(pool: str, embedder: dict[str, Any], head: dict[str, Any]) -> dict[str, Any]:
    return answering("gru", embedder, head, pool=pool, width=9)


NUMBERS, CLASSES = {"kind": "values", "inputs": 3}, {"kind": "labels", "classes": 4}
MIXED = {"kind": "mixed", "tables": [3, 5], "inputs": 2}
SPECS: dict[str, dict[str, Any]] = {
    **{kind: tokens(kind) for kind in ("rnn", "gru", "lstm", "mingru", "conv", "window", "transformer")},
    "windowed": tokens("transformer", window=4, kv_heads=1),
    "mean": answered("mean", NUMBERS, CLASSES),
    "max": answered("max", NUMBERS, {"kind": "labels", "classes": 3, "several": True}),
    "attention pool": answered("attention", NUMBERS, CLASSES),
    "mixed": answered("last", MIXED, {"kind": "numbers", "targets": 2}),
}


def made(spec: dict[str, Any], seed: int = 0) -> Model:
    """A model with no weight left at 0 or 1."""
    torch.manual_seed(seed)
    model = build(spec).eval()
    for weight in model.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    return model


@pytest.mark.parametrize("name", SPECS)
def test_c_says_what_the_model_says(name: str) -> None:
    """Several lengths, one after the other with a restart, under the sanitizers and without a warning."""
    model = made(SPECS[name])
    require(check(model, compiled(model, capacity=CAPACITY), LENGTHS, STRICT))


LAYERS = st.sampled_from(
    [
        {"kind": "rnn"}, {"kind": "rnn", "nonlinearity": "relu"}, {"kind": "lstm"}, {"kind": "gru"},
        {"kind": "mingru"}, {"kind": "mingru", "expansion": 2.0}, {"kind": "conv", "kernel": 2, "dilation": 2},
        {"kind": "conv", "depthwise": True, "activation": "relu"}, {"kind": "window", "context": 3},
        {"kind": "ffn", "activation": "swiglu"}, {"kind": "ffn", "activation": "relu"}, {"kind": "ffn"},
        {"kind": "attention", "heads": 2, "window": 3}, {"kind": "attention", "heads": 2, "rotary": False},
        {"kind": "positions"}, {"kind": "pool", "reduce": "max"}, {"kind": "pool", "reduce": "mean"},
    ]
)  # fmt: skip


@settings(max_examples=5, deadline=None, derandomize=True, phases=[Phase.generate])
@given(st.lists(LAYERS, min_size=1, max_size=3), st.sampled_from(["before", "after", None]), st.booleans())
def test_any_core_of_supported_layers(layers: list[dict[str, Any]], norm: str | None, tied: bool) -> None:
    core = {"layers": [{**layer, "width": 8} for layer in layers], "norm": norm, "residual": norm is not None}
    spec = {"embedder": {"kind": "tokens", "vocabulary": 7, "width": 8}, "core": core}
    model = made(spec | {"head": {"kind": "tokens", "tied": tied}})
    require(check(model, compiled(model, capacity=CAPACITY), LENGTHS, ("-O0",)))


class Fading(Mixer):
    """A mixer from nowhere: y = h = softplus(d) x + exp(-a) h, and the largest of it so far."""

    def __init__(self, width: int, *, inputs: int | None = None) -> None:
        super().__init__(width, inputs=inputs)
        self.rate = torch.nn.Parameter(torch.rand(width))

    def start(self, batch: int, capacity: int = 0, source: Any = None) -> Any:
        return self.zeros(batch, self.width)

    def forward(self, x: Tensor, state: Any = None, layout: Any = None) -> Any:
        h = self.start(x.shape[0]) if state is None else state
        said = []
        for step in x.unbind(1):
            h = torch.nn.functional.softplus(step) + torch.exp(-self.rate.abs()) * h
            said.append(h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-6))
        return torch.stack(said, 1), None if state is None else h.clone()


def test_a_new_mixer_exports_without_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(un.MIXERS, "fading", Fading)
    model = made(tokens("fading"))
    require(check(model, compiled(model), LENGTHS, STRICT))


def test_cpp_takes_the_same_file(tmp_path: Path) -> None:
    for name, content in compiled(made(SPECS["mingru"])).files().items():
        (tmp_path / name).write_bytes(content)
    command = ["g++", "-x", "c++", "-Wall", "-Wextra", "-Werror", "-c", "model.c", "example.c"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).stderr == b""


@pytest.mark.parametrize("kept", ["int8", "bf16"])
def test_rounded_weights_are_stored_small_and_are_exactly_the_models(kept: str) -> None:
    model = rounded(made(tokens("gru")), kept)
    plain, small = compiled(model), compiled(model, kept)
    kind = {"int8": "int8_t", "bf16": "uint16_t"}[kept]
    assert f"const {kind} core_layers_0_weight_hh_l0[" in small.source
    assert f"const {kind} " not in plain.source
    require(check(model, small, LENGTHS, STRICT))


def test_weights_that_no_small_form_holds_stay_as_they_are() -> None:
    model = made(tokens("gru"))
    assert "const int8_t " not in compiled(model, "int8").source
    assert "const uint16_t " not in compiled(model, "bf16").source
    assert scales_of(np.array([[1.0, 0.3]], np.float32)) is None


def test_large_models_keep_their_weights_in_a_file_of_their_own() -> None:
    model = made(tokens("lstm"))
    apart = compiled(model, inline=1000)
    assert apart.binary is not None and len(apart.binary) > 4000
    require(check(model, apart, LENGTHS, STRICT))
    torn = compiled(model, inline=1000)
    object.__setattr__(torn, "binary", apart.binary[:-1])
    with pytest.raises(CheckFailed, match="code 3.*model.bin"):
        check(model, torn, LENGTHS)


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [("lstm", "3 11", 1), ("lstm", "-1", 1), ("mean", "1 nan 2", 1), ("transformer", "1 " * 13, 2)],
)
def test_what_the_model_cant_take_is_refused(tmp_path: Path, name: str, text: str, code: int) -> None:
    """A token outside the vocabulary, a number that is none, more steps than there is room for."""
    for file, content in compiled(made(SPECS[name]), capacity=CAPACITY).files().items():
        (tmp_path / file).write_bytes(content)
    program = parity.built(tmp_path, STRICT)
    done = subprocess.run([str(program)], input=text + "\n", capture_output=True, text=True, check=False)
    assert (done.returncode, f"code {code}" in done.stderr) == (code, True)


def _wrong_where(rule: tuple[str, str]) -> tuple[str, str]:
    return rule[0].replace("{1}", "{2}"), rule[1]


@pytest.mark.parametrize("fault", ["expression", "operation", "support"])
def test_a_broken_emitter_is_found(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    if fault == "expression":
        monkeypatch.setitem(POINTWISE, "where", _wrong_where(POINTWISE["where"]))
    elif fault == "operation":
        whole: Callable[..., Any] = TABLE["addmm"]
        monkeypatch.setitem(TABLE, "addmm", lambda p, bias, x, w: whole(p, torch.zeros(w.shape[1]), x, w))
    else:
        text = SUPPORT["unrolled_norm"]
        monkeypatch.setitem(SUPPORT, "unrolled_norm", text.replace("variance + eps", "variance"))
        monkeypatch.setitem(SUPPORT, "unrolled_norm", text.replace("mean = (mean +", "mean = (mean + 1 +"))
    with pytest.raises(CheckFailed, match="model.c: at 1 rows of"):
        model = made(SPECS["mingru"])
        require(check(model, compiled(model), LENGTHS, ("-O0",)))


def test_nothing_is_written_beyond_parity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(POINTWISE, "tanh", ("(0.999f * unrolled_tanh({0}))", "result"))
    with pytest.raises(CheckFailed):
        write_c(made(SPECS["lstm"]), tmp_path)
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    write_c(made(SPECS["lstm"]), tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"model.h", "model.c", "example.c", "model.json"}


def test_an_operation_without_a_form_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(POINTWISE, "tanh")
    with pytest.raises(
        UserError, match=r"no form for the operation aten.tanh.*core.layers.0.*rnn, gru.*to=onnx"
    ):
        compiled(made(SPECS["lstm"]))


@pytest.mark.parametrize(
    ("name", "inline"), [("lstm", None), ("gru", 1000), ("transformer", None), ("mixed", None)]
)
def test_a_step_of_the_program_is_measured(name: str, inline: int | None) -> None:
    """Weights inside and apart, tokens and numbers, and attention that has less room than steps are taken."""
    model = made(SPECS[name])
    sources = compiled(model, capacity=CAPACITY, **({"inline": inline} if inline else {}))
    rows = measured(model, sources.files())
    assert [row["engine"] for row in rows] == ["torch (Stream)", "C"]
    assert 0 < rows[1]["median"] <= rows[1]["p95"] and rows[1]["median"] < rows[0]["median"]
    assert rows[1]["megabytes"] is None or rows[1]["megabytes"] < 50


def test_what_reads_ahead_and_a_missing_compiler_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="Bidirectional cannot stream"):
        compiled(build(preset("bilstm", 11, width=8)))
    monkeypatch.setattr(parity.shutil, "which", lambda name: None)
    with pytest.raises(RunFailed, match="there is no C compiler"):
        compiler()


def test_functions_of_one_number_are_as_good_as_the_librarys(tmp_path: Path) -> None:
    """exp, tanh, sigmoid and erf over all that matters, infinities and NaN."""
    import ctypes

    names = {"exp": np.exp, "tanh": np.tanh, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "erf": _erf}
    loops = "".join(
        f"void all_{name}(const float *x, float *y, int n) {{ while (n--) y[n] = unrolled_{name}(x[n]); }}\n"
        for name in names
    )
    head = "#include <math.h>\n#include <stdint.h>\n#include <string.h>\n"
    (tmp_path / "f.c").write_text(head + needed(loops) + "\n" + loops)
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", "f.so", "f.c", "-lm"], cwd=tmp_path, check=True)
    library = ctypes.CDLL(str(tmp_path / "f.so"))
    x = np.concatenate([np.linspace(-20, 20, 100_001), [np.inf, -np.inf, np.nan, 0]]).astype(np.float32)
    pointer = np.ctypeslib.ndpointer(np.float32)
    for name, exact in names.items():
        y = np.empty_like(x)
        function = getattr(library, f"all_{name}")
        function.argtypes = [pointer, pointer, ctypes.c_int]
        function(x, y, len(x))
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(y, exact(x.astype(np.float64)), rtol=3e-7, atol=1e-12, err_msg=name)


def _erf(x: np.ndarray) -> np.ndarray:
    return torch.from_numpy(x).erf().numpy()


def test_names_stand_in_c_strings() -> None:
    assert quoted('a"\\?\n') == '"a\\042\\134\\077\\012"'
    assert quoted("é") == '"\\303\\251"'


def test_examples_are_what_the_model_takes() -> None:
    assert example(made(SPECS["mixed"]), 1, None).shape == (1, 4)
