"""Each family against the transformers library on random tiny configs: logits, gradients, names, greedy text, the law."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_transfer import READERS, WRITERS, edited, saved, theirs, word_tokenizer

import unrolled as un
from unrolled import law
from unrolled.layout import Layout
from unrolled.model import Model
from unrolled.model.weights import weights_of
from unrolled.running.sampling import Draw
from unrolled.running.writer import Writer
from unrolled.transfer import FAMILIES, pretrained, weights_back
from unrolled.transfer.config import Config, ends

pytest.importorskip("transformers")


def turned(ids: torch.Tensor, first: int) -> torch.Tensor:
    """Our ids of theirs."""
    return torch.where(ids == first, 0, torch.where(ids == 0, first, ids))


def columns(folder: Path) -> tuple[int, torch.Tensor]:
    """Their id that is our 0, and for each id of theirs where our head scores it."""
    config = Config.read(folder)
    vocabulary = config.size("vocab_size")
    first = FAMILIES[config.family].first(config)
    order = turned(torch.arange(vocabulary), first)
    begins, closes = ends(config, vocabulary)
    if closes:  # the score of what ends a text stands at 0, that of what begins one where the other was
        their_end = int((order == closes).nonzero())
        order[their_end], order[begins] = 0, closes
    return first, order


def near(ours: torch.Tensor, other: torch.Tensor, what: str) -> None:
    scale = max(1.0, float(other.detach().abs().max()))
    error = float((ours - other).detach().abs().max()) / scale
    assert error <= 1e-5, f"{what}: {error:.2e}"


def gradients_agree(model: Model, other: Any, folder: Path) -> None:
    config = Config.read(folder)
    family = FAMILIES[config.family]
    names, seen = family.names(config), dict(other.named_parameters())
    ours = {id(p): p.grad for p in model.parameters()}
    kept = {name: ours[id(p)] for name, p in model.named_parameters() if name in names}
    for name, gradient in kept.items():
        assert gradient is not None, name
        for their_name, undone in names[name].undone(gradient).items():
            near(undone, seen[their_name].grad, their_name)


@pytest.mark.parametrize("case", WRITERS)
def test_a_writer_says_what_theirs_says(case: str, tmp_path: Path) -> None:
    kind, options = WRITERS[case]
    other = theirs(kind, options)
    folder = saved(other, tmp_path)
    model = pretrained(folder)
    assert model.task is None, "there is no tokenizer"
    first, order = columns(folder)
    ids = torch.randint(options["vocab_size"], (3, 11), generator=torch.Generator().manual_seed(1))
    wanted = other(ids).logits
    got = model(turned(ids, first))[0][..., order]
    near(got, wanted, "logits")
    weight = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(2))
    (wanted * weight).sum().backward()
    (got * weight).sum().backward()
    gradients_agree(model, other, folder)


@pytest.mark.parametrize("case", READERS)
def test_a_reader_says_what_theirs_says_also_of_padded_rows(case: str, tmp_path: Path) -> None:
    kind, options = READERS[case]
    other = theirs(kind, options)
    folder = saved(other, tmp_path)
    model = pretrained(folder)
    assert model.task is None
    first, _ = columns(folder)
    ids = torch.randint(3, options["vocab_size"], (3, 11), generator=torch.Generator().manual_seed(1))
    layout = Layout.of_lengths(torch.tensor([11, 4, 7]))
    pad = options.get("pad_token_id", 0)
    ids = torch.where(layout.valid, ids, pad)
    wanted = other(ids, attention_mask=layout.valid.long()).last_hidden_state[layout.valid]
    got = model(turned(ids, first), layout=layout)[0][layout.valid]
    near(got, wanted, "vectors")
    weight = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(2))
    (wanted * weight).sum().backward()
    (got * weight).sum().backward()
    other.embeddings.token_type_embeddings.weight.grad[1:] = 0
    if pad:  # their table takes no gradient for the padding's row
        model.embedder.table.weight.grad[0] = 0
    gradients_agree(model, other, folder)


@pytest.mark.parametrize("case", [*WRITERS, *READERS])
def test_the_way_there_and_back_is_exact(case: str, tmp_path: Path) -> None:
    kind, options = (WRITERS | READERS)[case]
    other = theirs(kind, options)
    folder = saved(other, tmp_path)
    back = weights_back(pretrained(folder), folder)
    known = {name: value for name, value in other.state_dict().items() if not name.startswith("pooler.")}
    if getattr(other.config, "tie_word_embeddings", False):
        known.pop("lm_head.weight", None)
    assert back.keys() == known.keys()
    for name, value in known.items():
        assert back[name].shape == value.shape and bool((back[name] == value).all()), name


@pytest.mark.parametrize("case", WRITERS)
def test_200_tokens_are_theirs_one_by_one(case: str, tmp_path: Path) -> None:
    kind, options = WRITERS[case]
    other = theirs(kind, options, seed=3 if kind == "gpt2" else 5)  # which don't repeat one token
    folder = saved(other, tmp_path)
    model = pretrained(folder)
    first, order = columns(folder)
    specials = sorted({first, int((order == 0).nonzero())})
    prompt = torch.tensor([first, 11, 5, 23])
    asked = {"do_sample": False, "min_new_tokens": 200, "max_new_tokens": 200, "pad_token_id": 9}
    asked["suppress_tokens"] = specials  # neither goes on where a text ends
    other.generation_config.eos_token_id = None
    wanted = other.generate(prompt[None], attention_mask=torch.ones(1, 4), **asked)[0, 4:]
    options = {"length": 200, "draw": Draw(temperature=0), "shortest": 200}
    writer = Writer(model, turned(prompt[1:], first).tolist(), ends=order[specials].tolist(), **options)
    got = torch.tensor([token for ((_, token),) in writer])
    assert torch.equal(got, order[wanted])
    assert len(got) == 200 and len(got.unique()) > 3


@pytest.mark.parametrize("case", WRITERS)
def test_what_was_loaded_obeys_the_law(case: str, tmp_path: Path) -> None:
    kind, options = WRITERS[case]
    model = pretrained(saved(theirs(kind, options), tmp_path)).double()
    size = options["vocab_size"]
    draw = lambda batch, time, generator: torch.randint(0, size, (batch, time), generator=generator)  # noqa: E731
    law.check(model, inputs=draw, cuts=20).require()


def test_older_names_and_files_of_the_bare_model_are_known(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for case, change in (
        ("gpt2", lambda n: n.removeprefix("transformer.")),
        ("llama tied", lambda n: n.removeprefix("model.")),
        (
            "bert",
            lambda n: "bert." + n.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"),
        ),
    ):
        kind, options = (WRITERS | READERS)[case]
        folder = saved(theirs(kind, options), tmp_path / kind)
        before = weights_of(pretrained(folder))
        found = {change(name): value for name, value in load_file(folder / "model.safetensors").items()}
        save_file(found, folder / "model.safetensors")
        assert all(torch.equal(value, before[name]) for name, value in weights_of(pretrained(folder)).items())


def test_half_precision_is_read_as_float32_unless_asked(tmp_path: Path) -> None:
    other = theirs(*WRITERS["llama tied"]).to(torch.bfloat16)
    folder = saved(other, tmp_path)
    model, small = pretrained(folder), pretrained(folder, dtype="bfloat16")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert {p.dtype for p in small.parameters()} == {torch.bfloat16}
    back = weights_back(model, folder)
    assert all(torch.equal(back[n], v.float()) for n, v in other.state_dict().items() if n in back)


def test_a_model_with_its_tokenizer_writes_streams_and_is_kept(tmp_path: Path) -> None:
    kind, options = WRITERS["llama tied"]
    folder = saved(theirs(kind, options), tmp_path / "theirs")
    word_tokenizer(folder, options["vocab_size"], specials=(0, 1, 2))
    model = un.pretrained(folder)
    written = un.generate(model, "w5 w7", length=12, temperature=0)
    assert written.texts[0].startswith("w5 w7") and written.tokens[0] <= 12
    stream = un.Stream(model)
    stream.push([0])
    stream.push("w5 w7")
    whole = model(torch.tensor([[0, 5, 7]]))[0][0, -1]
    assert torch.allclose(stream.prediction[0], whole, atol=1e-5)
    from unrolled.training.portable import load_model, save_model

    save_model(tmp_path / "kept", model, "A card.")
    again = load_model(tmp_path / "kept")
    assert un.generate(again, "w5 w7", length=12, temperature=0).texts == written.texts
    assert again.task.codec.to_dict() == model.task.codec.to_dict()


def test_a_config_of_an_older_version_says_the_same(tmp_path: Path) -> None:
    """rope_theta and rope_scaling stood by themselves before they became rope_parameters."""
    kind, options = WRITERS["llama tied"]
    folder = saved(theirs(kind, options), tmp_path)
    before = pretrained(folder).spec
    edited(folder, rope_parameters=None, rope_theta=1e5, head_dim=None)
    assert pretrained(folder).spec == before
