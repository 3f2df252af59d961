"""What was loaded goes where a run's model goes: ONNX with its program, C; and the tokenizer with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import jaxtyping
import numpy as np
import pytest
import torch
from serve_runs import serving
from tiny_transfer import READERS, WRITERS, saved, theirs, word_tokenizer

import unrolled as un
from unrolled.datasets.codecs import codec_from_dict
from unrolled.datasets.imported import ImportedTokenizer
from unrolled.errors import UserError
from unrolled.model import Model
from unrolled.running.generate import Pieces
from unrolled.transfer import pretrained, tokenizer

pytest.importorskip("transformers")


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Sizes that vary are symbols while a graph is made, and the checker wants whole numbers."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """A Llama whose documents begin with one token and end with another, and whose table is read backwards."""
    kind, options = WRITERS["llama tied"]
    stretched = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
    folder = saved(theirs(kind, options | {"rope_parameters": stretched}, seed=6), tmp_path / "theirs")
    word_tokenizer(folder, options["vocab_size"], specials=(0, 1, 2))
    return pretrained(folder)


@pytest.mark.usefixtures("unchecked")
def test_the_program_of_an_export_writes_the_same_text(model: Model, tmp_path: Path) -> None:
    made = un.export(model, to="onnx", out=str(tmp_path / "onnx"))
    assert made.parity["worst"] <= 1e-5
    command = [sys.executable, str(tmp_path / "onnx/run.py"), "w5 w7", "--temperature", "0", "--length", "9"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    written = un.generate(model, "w5 w7", length=9, temperature=0).texts[0]
    assert written == "w5 w7" + done.stdout.rstrip("\n") and len(written) > 9


@pytest.mark.usefixtures("unchecked")
def test_c_says_the_same_and_a_page_is_refused(model: Model, tmp_path: Path) -> None:
    assert un.export(model, to="c", out=str(tmp_path / "c")).parity["worst"] <= 1e-5
    with pytest.raises(UserError, match="to=browser: this model came with a tokenizer of its own"):
        un.export(model, to="browser", out=str(tmp_path / "page"))


@pytest.mark.usefixtures("unchecked")
def test_a_reader_s_vectors_are_exported(tmp_path: Path) -> None:
    kind, options = READERS["bert"]
    folder = saved(theirs(kind, options | {"max_position_embeddings": 64}), tmp_path / "theirs")
    made = un.export(pretrained(folder), to="onnx", out=str(tmp_path / "onnx"))
    assert made.parity["worst"] <= 1e-5 and "sequence.onnx" in made.files


def test_ids_change_places_and_come_back(tmp_path: Path) -> None:
    word_tokenizer(tmp_path, 20, specials=(3, 4))
    codec = ImportedTokenizer.read(tmp_path / "tokenizer.json", 24, first=3)
    ids = codec.encode("w5 w0 w7")
    assert ids.tolist() == [5, 3, 7]  # their 0 has the place of what is our 0
    assert codec.decode(ids) == " w5 w0 w7" and codec.decode([0, 5, 0]) == " w5"
    assert codec.size == 24 and codec.decode([22]) == "" and codec.token_text(22) == "<unused 22>"
    assert [codec.token_text(n) for n in (0, 3, 5)] == ["<end>", " w0", " w5"]
    again = codec_from_dict(codec.to_dict())
    assert again.encode("w5 w0 w7").tolist() == ids.tolist() and again.to_dict() == codec.to_dict()
    with pytest.raises(ValueError, match="not in this codec"):
        codec.decode([24])


def test_a_special_token_in_a_text_is_text(tmp_path: Path) -> None:
    word_tokenizer(tmp_path, 20, specials=(3, 4))
    codec = ImportedTokenizer.read(tmp_path / "tokenizer.json", 20, first=3)
    assert 0 not in codec.encode("w5 <3> w7"), "nobody writes the end of a document"


def test_pieces_of_a_text_are_the_text(tmp_path: Path) -> None:
    """Bytes as GPT-2's, and spaces marked as Llama's: token by token the spaces stay."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    text = "the cat sat on the mat, déjà vu \N{SNOWMAN}. the cat sat"
    for pre, decoder in (
        (pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()),
        (pre_tokenizers.Metaspace(), decoders.Metaspace()),
    ):
        made = Tokenizer(models.BPE())
        made.pre_tokenizer, made.decoder = pre, decoder
        trainer = trainers.BpeTrainer(vocab_size=60, special_tokens=["<s>"], show_progress=False)
        made.train_from_iterator([text], trainer)
        made.save(str(tmp_path / "tokenizer.json"))
        codec = ImportedTokenizer.read(tmp_path / "tokenizer.json", 90)
        ids = codec.encode(text).tolist()
        whole = codec.decode(ids)
        assert whole.lstrip(" ") == text
        pieces = Pieces(codec)
        assert "".join(pieces.push(token) for token in ids) + pieces.flush() == whole


def test_a_server_completes_with_it(model: Model) -> None:
    with (
        serving({"llama": model}) as (_, address, _),
        httpx.Client(base_url=address, trust_env=False) as client,
    ):
        asked = {"model": "llama", "prompt": "w5 w7", "max_tokens": 9, "temperature": 0}
        done = client.post("/v1/completions", json=asked, timeout=60)
    written = un.generate(model, "w5 w7", length=9, temperature=0).texts[0]
    assert done.status_code == 200 and "w5 w7" + done.json()["choices"][0]["text"] == written


def test_a_reader_s_texts_stand_between_its_tokens_unpadded(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    kind, options = READERS["roberta"]
    folder = saved(theirs(kind, options), tmp_path)
    word_tokenizer(folder, options["vocab_size"], specials=(0, 2, 1), wrapped=True)
    file = folder / "tokenizer.json"
    raw = Tokenizer.from_file(str(file))
    raw.enable_padding(length=12)
    raw.enable_truncation(3)
    raw.save(str(file))
    codec = tokenizer(folder)
    ids = codec.encode("w5 w6 w7")
    assert ids.tolist() == [1, 5, 6, 7, 2]  # <s> was 0, whose place is the padding's
    vectors = pretrained(folder)(torch.from_numpy(ids)[None])[0]
    assert vectors.shape == (1, 5, options["hidden_size"]) and np.isfinite(vectors.detach().numpy()).all()
