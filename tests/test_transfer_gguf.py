"""A .gguf file says what the folder says that it was made of; damaged ones are refused before anything is allocated."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tiny_gguf import written
from tiny_transfer import WRITERS, saved, theirs

import unrolled as un
from unrolled import law
from unrolled.errors import MissingExtra, UserError
from unrolled.model.weights import weights_of
from unrolled.transfer import pretrained, tokenizer, weights_back
from unrolled.transfer.gguf import header

pytest.importorskip("transformers")
CASES = ["llama grouped", "llama tied", "llama wide heads", "qwen2", "qwen2 tied"]


def folder_of(case: str, place: Path, **changes: object) -> Path:
    kind, options = WRITERS[case]
    return saved(theirs(kind, options | changes), place / "theirs")


@pytest.mark.parametrize("case", CASES)
def test_floating_numbers_are_those_of_the_folder(case: str, tmp_path: Path) -> None:
    folder = folder_of(case, tmp_path)
    file = written(folder, tmp_path / "model.gguf")
    model, other = pretrained(file), pretrained(folder)
    ids = torch.randint(50, (2, 9), generator=torch.Generator().manual_seed(1))
    assert torch.allclose(model(ids)[0], other(ids)[0], atol=1e-5), "angles and norms"
    found, wanted = weights_of(model), weights_of(other)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    back = weights_back(model, file)
    assert all(torch.equal(back[name], value) for name, value in weights_back(other, folder).items())


@pytest.mark.parametrize("case", ["llama 3", "llama stretched"])
def test_angles_that_are_stretched_come_with_the_file(case: str, tmp_path: Path) -> None:
    folder = folder_of(case, tmp_path)
    other = pretrained(folder)
    turned = other.spec["core"]["layers"][0]["rotary"]
    assert max(turned["factors"]) > 2
    if case == "llama 3":
        file = written(folder, tmp_path / "model.gguf", factors=turned["factors"])
    else:
        scaling = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}
        file = written(folder, tmp_path / "model.gguf", **scaling)
    ids = torch.randint(50, (2, 90), generator=torch.Generator().manual_seed(1))
    assert torch.allclose(pretrained(file)(ids)[0], other(ids)[0], atol=1e-5)


@pytest.mark.parametrize("dtype", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_quantised_numbers_are_those_that_the_package_makes(dtype: str, tmp_path: Path) -> None:
    sizes = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 16}
    folder = folder_of("llama grouped", tmp_path, **sizes)
    file = written(folder, tmp_path / "model.gguf", dtype)
    read = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    name = "blk.1.ffn_gate.weight"
    assert read[name].tensor_type.name == dtype
    got = weights_back(pretrained(file), file)["model.layers.1.mlp.gate_proj.weight"]
    wanted = gguf.quants.dequantize(read[name].data, read[name].tensor_type).astype(np.float32)
    assert np.array_equal(got.numpy(), wanted)
    exact = weights_back(pretrained(folder), folder)
    for key, value in weights_back(
        pretrained(file), file
    ).items():  # queries and keys in their own order again
        step = {"F16": 1e-3, "BF16": 8e-3, "Q8_0": 0.01}.get(dtype, 0.12)
        assert float((value - exact[key]).abs().max()) <= step * float(exact[key].abs().max()), key


def test_it_writes_streams_and_obeys_the_law(tmp_path: Path) -> None:
    file = written(folder_of("llama tied", tmp_path), tmp_path / "model.gguf")
    model = un.pretrained(tmp_path / "model.gguf")
    assert un.pretrained(file.rename(tmp_path / "other.gguf")).task.context == 300
    text = un.generate(model, "ab cd 12", length=20, temperature=0).texts[0]
    assert text.startswith("ab cd 12")
    law.check(model.double().core)


def test_the_tokenizer_is_the_one_that_the_file_describes(tmp_path: Path) -> None:
    file = written(folder_of("llama tied", tmp_path), tmp_path / "model.gguf")
    codec = tokenizer(file)
    names = [codec.token_text(number) for number in codec.encode("ab ab 12cd<s>").tolist() if number]
    assert names[:4] == ["ab", " ab", " ", "1"], "each digit by itself"
    assert codec.first == 1 and "cd" in names
    assert codec.decode(codec.encode("ab cd 12.")) == "ab cd 12."
    written(tmp_path / "theirs", file, **{"tokenizer.ggml.pre": "gpt-2"})
    names = [tokenizer(file).token_text(n) for n in tokenizer(file).encode("ab 12").tolist()]
    assert names == ["ab", " ", "12"]
    written(tmp_path / "theirs", file, **{"tokenizer.ggml.model": None})
    assert pretrained(file).task is None
    with pytest.raises(UserError, match="holds no tokenizer"):
        tokenizer(file)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tokenizer.ggml.model": "llama"}, "tokenizer is of kind 'llama'; only 'gpt2'"),
        ({"tokenizer.ggml.pre": "smolm"}, "Did you mean 'smollm'"),
        ({"tokenizer.ggml.merges": ["a q1"]}, "merges don't fit its tokens"),
        ({"tokenizer.ggml.tokens": ["a", "b"]}, "2 tokens, 2 of them different, of 53 kinds"),
        ({"llama.block_count": None}, "has no llama.block_count"),
        ({"llama.block_count": 3}, "model.layers.2.input_layernorm.weight is missing"),
        ({"llama.rope.dimension_count": 2}, "2 numbers of a head of 6 are turned"),
        ({"llama.rope.scaling.type": "yarn"}, "rotary positions are of type 'yarn'"),
        ({"split.count": 2}, "one of several parts"),
        ({"tokenizer.ggml.bos_token_id": None, "tokenizer.ggml.eos_token_id": None}, "where a text ends"),
    ],
)
def test_a_model_that_is_not_understood_is_refused(changes: dict, said: str, tmp_path: Path) -> None:
    file = written(folder_of("llama tied", tmp_path), tmp_path / "model.gguf", **changes)
    with pytest.raises(UserError, match=said):
        pretrained(file)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(UserError, match="general.architecture.*mamba.*Known: llama, qwen2"):
        pretrained(tmp_path / "a.gguf")


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def head(tensors: int = 0, keys: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys)


def tensor(name: str, *shape: int, kind: int = 0, offset: int = 0) -> bytes:
    sizes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + sizes + struct.pack("<IQ", kind, offset)


def aligned(header: bytes, data: bytes = b"") -> bytes:
    return header + bytes(-len(header) % 32) + data


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "doesn't begin with GGUF"),
        (b"GGML" + bytes(20), "doesn't begin with GGUF"),
        (b"GGUF", "claims 4 bytes and 0 are left"),
        (head(version=1), "GGUF of version 1"),
        (head(version=3 << 24), "other byte order"),
        (head(keys=2**60), "claims 8 bytes and 0 are left"),
        (head(tensors=2**60), "the list of 1,152,921,504,606,846,976 tensors claims"),
        (head(keys=1) + struct.pack("<Q", 2**62), "the name of a key claims"),
        (head(keys=1) + text("a") + struct.pack("<I", 99), "a is of kind 99"),
        (head(keys=1) + text("a") + struct.pack("<IIQ", 9, 9, 1), "a is a list of kind 9"),
        (head(keys=1) + text("a") + struct.pack("<IIQ", 9, 8, 2**60), "a list of .* texts, claims"),
        (head(keys=1) + text("a") + struct.pack("<IIQ", 9, 5, 2**61), "a list of .* numbers, claims"),
        (head(keys=1) + text("a") + struct.pack("<IQ", 8, 1) + b"\xff", "a isn't UTF-8"),
        (head(keys=2) + (text("a") + struct.pack("<II", 4, 1)) * 2, "names the key 'a' twice"),
        (head(keys=1) + text("general.alignment") + struct.pack("<II", 4, 0), "general.alignment is 0"),
        (aligned(head(1) + tensor("a", 8)), "F32 .8,., bytes .* and the file has"),
        (aligned(head(1) + tensor("a", 2**40, 2**40)), "the file has"),
        (head(1) + tensor("a", 2, 2, 2, 2, 2), "5 dimensions"),
        (aligned(head(1) + tensor("a", 2, kind=999)), "kept as type 999"),
        (aligned(head(1) + tensor("a", 33, kind=8)), "in blocks of 32"),
        (aligned(head(2) + tensor("a", 1) * 2, bytes(64)), "names the tensor 'a' twice"),
        (aligned(head(2) + tensor("a", 16) + tensor("b", 16, offset=32), bytes(128)), "b overlaps"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    with pytest.raises(UserError, match=said):
        header(file)


def test_every_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    file = written(folder_of("llama tied", tmp_path), tmp_path / "model.gguf")
    whole = file.read_bytes()
    header(file)
    generator = np.random.default_rng(0)
    for length in [*range(4, 60), *generator.integers(60, len(whole) - 200, 40)]:
        file.write_bytes(whole[:length])
        with pytest.raises(UserError, match="model.gguf"):
            pretrained(file)


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    (tmp_path / "a.gguf").write_bytes(head())
    with pytest.raises(MissingExtra, match=r"unrolled\[gguf\]"):
        pretrained(tmp_path / "a.gguf")
    with pytest.raises(UserError, match="expected one of .gguf"):
        (tmp_path / "a.txt").write_text("")
        pretrained(tmp_path / "a.txt")
