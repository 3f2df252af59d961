"""g2p-en's checkpoint, an archive of arrays: the two GRUs say what their equations say, damaged archives are refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

import unrolled as un
from unrolled.errors import UserError
from unrolled.model import build
from unrolled.training.portable import load_model, save_model
from unrolled.transfer import pretrained, weights_back
from unrolled.transfer.arrays import Arrays
from unrolled.transfer.families.g2p_en import LETTERS, phones

Weights = dict[str, np.ndarray]
WORDS = ["hello", "a", "Zebra", "it's", "zzzzzzzzzzzzzzzzzzzzzzzzzzz"]


def drawn(width: int = 6, hidden: int = 5) -> Weights:
    """A random checkpoint of theirs."""
    generator = np.random.default_rng(0)
    letters, count = len(LETTERS), 4 + len(phones())
    shapes = {
        "enc_emb": (letters, width),
        "dec_emb": (count, width),
        "fc_w": (count, hidden),
        "fc_b": (count,),
    }
    for part in ("enc", "dec"):
        shapes |= {f"{part}_w_ih": (3 * hidden, width), f"{part}_w_hh": (3 * hidden, hidden)}
        shapes |= {f"{part}_b_{side}": (3 * hidden,) for side in ("ih", "hh")}
    return {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def stepped(w: Weights, part: str, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """One step of a GRU by the book."""
    a = w[f"{part}_w_ih"] @ x + w[f"{part}_b_ih"]
    b = w[f"{part}_w_hh"] @ h + w[f"{part}_b_hh"]
    (a_r, a_z, a_n), (b_r, b_z, b_n) = np.split(a, 3), np.split(b, 3)
    r, z = (1 / (1 + np.exp(-value)) for value in (a_r + b_r, a_z + b_z))
    return (1 - z) * np.tanh(a_n + r * b_n) + z * h


def spoken(w: Weights, word: str) -> str:
    """What the checkpoint says of a word: letters read, then the likeliest phone until the end or the twentieth."""
    names = ["<pad>", "<unk>", "<s>", "</s>", *phones()]
    h = np.zeros(w["enc_w_hh"].shape[1], np.float32)
    for letter in [*word, "</s>"]:
        h = stepped(w, "enc", w["enc_emb"][LETTERS.index(letter) if letter in LETTERS else 1], h)
    said, token = [], 2
    while len(said) < 20:
        h = stepped(w, "dec", w["dec_emb"][token], h)
        scores = w["fc_w"] @ h + w["fc_b"]
        scores[1] = -np.inf  # ours never says what it doesn't know
        if not said:
            scores[3] = -np.inf  # nor nothing
        token = int(scores.argmax())
        if token == 3:
            break
        said.append(names[token])
    return " ".join(said)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.savez(tmp_path / "checkpoint.npz", **drawn())
    return tmp_path / "checkpoint.npz"


def test_it_says_what_the_equations_say(file: Path, tmp_path: Path) -> None:
    model = pretrained(file)
    inputs = [model.task.steps(word) for word in WORDS]
    wanted = [spoken(drawn(), word.lower()) for word in WORDS]
    said = model.task.written(model.task.predict(model, inputs))
    assert said == wanted
    assert len({*said}) == len(said) and max(len(text.split()) for text in said) <= 20
    save_model(tmp_path / "kept", model, "A card.")
    again = load_model(tmp_path / "kept")
    assert again.task.written(again.task.predict(again, inputs)) == said
    back = weights_back(model, file)
    assert back.keys() == drawn().keys()
    assert all(np.array_equal(back[name].numpy(), value) for name, value in drawn().items())


def test_the_phones_are_in_the_order_of_their_ids() -> None:
    assert len(phones()) == 70 and phones()[:3] == ["AA0", "AA1", "AA2"] and phones()[-1] == "ZH"
    assert phones()[phones().index("UW") :][:4] == ["UW", "UW0", "UW1", "UW2"]
    assert len(LETTERS) == 29


def test_a_state_that_is_handed_over_must_fit() -> None:
    def gru(width: int, kind: str = "gru") -> dict:
        return {"layers": [{"kind": kind, "width": width}], "norm": None}

    tokens = {"kind": "tokens", "vocabulary": 9, "width": 4}
    spec = {"embedder": tokens, "core": gru(4), "head": {"kind": "tokens"}}
    source = {"embedder": tokens, "core": gru(4), "bridge": "handed"}
    assert not [name for name in build(spec | {"source": source}).state_dict() if name.startswith("bridge")]
    for core in (gru(5), gru(4, "lstm"), gru(4, "conv")):
        with pytest.raises(UserError, match="bridge='handed': the source's state has vectors of sizes"):
            build(spec | {"source": source | {"core": core}})
    with pytest.raises(UserError, match="it is 'mapped' or 'handed'"):
        build(spec | {"source": source | {"bridge": "copied"}})


def npy(shape: tuple[int, ...], data: bytes, descr: str = "<f4") -> bytes:
    made = io.BytesIO()
    np.lib.format.write_array_header_1_0(made, {"shape": shape, "fortran_order": False, "descr": descr})
    return made.getvalue() + data


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"a.npy": npy((2**40,), bytes(8))}, "1 and has|4,398,046,511,104 bytes, and has 8"),
        ({"a.npy": npy((2,), b"\x80\x04.", "|O")}, "objects, which are programs, are not opened"),
        ({"a.npy": npy((2,), bytes(16), "<i8")}, "holds int64; weights are floating numbers"),
        ({"a.npy": b"hello"}, "not an archive of arrays"),
        ({"a.npy": b"\x93NUMPY\x09\x00" + bytes(20)}, "version"),
    ],
)
def test_arrays_that_are_none_are_refused(members: dict[str, bytes], said: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(UserError, match=said):
        Arrays(tmp_path / "a.npz")


def test_another_archive_is_not_taken_for_a_model(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="not an archive of arrays"):
        un.pretrained(file)
    np.savez(file, a=np.zeros(3, np.float32))
    with pytest.raises(UserError, match="holds the arrays a; of .npz files only g2p-en's"):
        un.pretrained(file)
    np.savez(file, **{name: value for name, value in drawn().items() if name != "fc_b"})
    with pytest.raises(UserError, match=r"fc_b is missing, expected \(74,\)"):
        un.pretrained(file)
