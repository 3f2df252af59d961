"""ViT and Whisper against the transformers library on random tiny configs, images and sounds as their configs say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_transfer_families import near
from tiny_transfer import edited, word_tokenizer

import unrolled as un
from unrolled import law
from unrolled.datasets.prepared import PreparedMel, PreparedPatches
from unrolled.datasets.sound import Sound
from unrolled.errors import UserError
from unrolled.layout import Layout
from unrolled.mixer import Mixer
from unrolled.model import Model, Seq2Seq, build
from unrolled.training.portable import load_model, save_model
from unrolled.transfer import FAMILIES, pretrained, weights_back
from unrolled.transfer.config import Config

transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)

VIT: dict[str, Any] = {
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 19,
}
VIT |= {"image_size": 12, "patch_size": 4}
ODD = VIT | {
    "num_channels": 1,
    "hidden_act": "gelu_new",
    "qkv_bias": False,
    "image_size": 10,
    "patch_size": 5,
}
NAMED = {
    "id2label": {0: "pear", 1: "apple", 2: "fig", 3: "apple"},
    "label2id": {"pear": 0, "apple": 1, "fig": 2},
}
IMAGES = {
    "classes": ("ViTForImageClassification", VIT | NAMED),
    "classes, odd": ("ViTForImageClassification", ODD | NAMED),
    "vectors": ("ViTModel", VIT),
}
WHISPER: dict[str, Any] = {
    "vocab_size": 47, "d_model": 12, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 3,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 17, "decoder_ffn_dim": 15, "num_mel_bins": 8,
    "max_source_positions": 50, "max_target_positions": 40, "decoder_start_token_id": 3, "bos_token_id": 4,
    "eos_token_id": 4, "pad_token_id": 4, "suppress_tokens": [], "begin_suppress_tokens": [],
}  # fmt: skip
SOUNDS = {
    "whisper": WHISPER,
    "ends with 0": WHISPER | {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0},
}


def made(name: str, options: dict[str, Any], folder: Path, seed: int = 0) -> Any:
    """A random tiny model of theirs, saved, no weight of it at its beginning."""
    kind = getattr(transformers, re.sub(r"(For.*|Model)$", "Config", name))
    torch.manual_seed(seed)
    other = getattr(transformers, name)(kind(**options)).eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 0.15 * torch.randn_like(parameter)
        for name, buffer in other.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer += torch.rand_like(buffer)
    other.save_pretrained(folder)
    return other


def gradients_agree(model: Model, other: Any, folder: Path, skipped: tuple[str, ...] = ()) -> None:
    """Each gradient under their name, read from a file that is written of them."""
    config = Config.read(folder)
    names, ours = FAMILIES[config.family].names(config), dict(model.named_parameters())
    for parameter, theirs in zip(other.parameters(), [p.grad for p in other.parameters()], strict=True):
        parameter.data = torch.zeros_like(parameter) if theirs is None else theirs
    other.save_pretrained(folder / "gradients")
    from safetensors.torch import load_file

    wanted = load_file(folder / "gradients" / "model.safetensors")
    seen = set()
    for name, taken in names.items():
        if name not in ours or ours[name].grad is None:
            continue
        for their_name, value in taken.undone(ours[name].grad).items():
            seen.add(their_name)
            if not their_name.endswith(skipped):
                near(value, wanted[their_name], their_name)
    counted = ("num_batches_tracked", "running_mean", "running_var")
    assert seen == {name for name in wanted if "pooler" not in name and not name.endswith(counted)}


def agreed(got: torch.Tensor, wanted: torch.Tensor) -> None:
    near(got, wanted, "answers")
    weight = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(2))
    (wanted * weight).sum().backward()
    (got * weight).sum().backward()


def kept_back(model: Model, folder: Path) -> None:
    from safetensors.torch import load_file

    kept = load_file(folder / "model.safetensors")
    back = weights_back(model, folder)
    assert back.keys() == {name for name in kept if "pooler" not in name and "num_batches" not in name}
    assert all(back[name].shape == kept[name].shape and torch.equal(back[name], kept[name]) for name in back)


def patches(images: torch.Tensor, size: int) -> torch.Tensor:
    """(B, C, H, W) -> (B, patches + 1, size * size * C + 1), the last step marked."""
    squares = images.unfold(2, size, size).unfold(3, size, size)  # (B, C, rows, columns, size, size)
    steps = torch.nn.functional.pad(squares.permute(0, 2, 3, 4, 5, 1).flatten(1, 2).flatten(2), (0, 1, 0, 1))
    steps[:, -1, -1] = 1
    return steps


@pytest.mark.parametrize("case", IMAGES)
def test_vit_says_what_theirs_says(case: str, tmp_path: Path) -> None:
    name, options = IMAGES[case]
    other = made(name, options, tmp_path)
    model = pretrained(tmp_path)
    assert model.task is None, "nothing says how images are prepared"
    kept_back(model, tmp_path)
    channels, size = options.get("num_channels", 3), options["image_size"]
    images = torch.randn(3, channels, size, size, generator=torch.Generator().manual_seed(1))
    got = model(patches(images, options["patch_size"]))[0]
    if case == "vectors":
        wanted = other(images).last_hidden_state
        agreed(torch.cat([got[:, -1:], got[:, :-1]], 1), wanted)  # [CLS] stands last here
    else:
        order = sorted(range(4), key=["pear", "apple (1)", "fig", "apple (3)"].__getitem__)
        agreed(got[:, -1], other(images).logits[:, order])
    gradients_agree(model, other, tmp_path)


def test_patches_obey_the_law_below_a_causal_core() -> None:
    torch.manual_seed(0)
    core = {"layers": [{"kind": "gru", "width": 8}], "norm": "before"}
    spec = {
        "embedder": {"kind": "patches", "inputs": 4, "width": 8},
        "core": core,
        "head": {"kind": "vectors"},
    }
    law.check(build(spec).double())
    with pytest.raises(UserError, match="pixels is 0"):
        build(spec | {"embedder": {"kind": "patches", "inputs": 1, "width": 8}})


def test_frames_of_unequal_length_are_read_each_as_alone() -> None:
    torch.manual_seed(0)
    core = {"layers": [{"kind": "attention", "width": 8, "heads": 2, "causal": False}], "norm": "before"}
    target = {"layers": [{"kind": "cross", "width": 8, "source": 8}]}
    tokens = {"kind": "tokens", "vocabulary": 5, "width": 8}
    frames = {"kind": "frames", "inputs": 3, "width": 8}
    spec = {"embedder": tokens, "core": target, "head": {"kind": "tokens"}}
    model = build(spec | {"source": {"embedder": frames, "core": core}}).eval()
    assert isinstance(model, Seq2Seq)
    x, layout = torch.randn(4, 6, 3), Layout.of_lengths(torch.tensor([6, 5, 2, 1]))
    x[~layout.valid] = torch.nan
    whole = model.source(x, layout).source
    for row, n in enumerate([6, 5, 2, 1]):
        alone = model.source(x[row : row + 1, :n]).source.values[0]
        assert int(whole.valid[row].sum()) == len(alone) == (n + 1) // 2
        torch.testing.assert_close(whole.values[row, : len(alone)], alone)
    packed = Layout(
        torch.ones(1, 6, dtype=torch.bool), torch.tensor([[True, False, True, False, False, False]])
    )
    with pytest.raises(UserError, match="several documents"):
        model.source(x[:1], packed)
    with pytest.raises(UserError, match="as a whole, so it can't stream"):
        model.source.embedder.start(1)
    with pytest.raises(UserError, match=r"floating numbers of shape \(batch, time, 3\)"):
        model.source.embedder.accept(torch.randn(1, 2, 4))
    with pytest.raises(UserError, match="it is for a source alone"):
        build({"embedder": frames, "core": core, "head": {"kind": "vectors"}})


RESNET: dict[str, Any] = {
    "embedding_size": 8,
    "hidden_sizes": [12, 16],
    "depths": [2, 1],
    "layer_type": "basic",
}
PICTURES = {
    "basic": ("ResNetForImageClassification", RESNET | NAMED),
    "bottleneck": (
        "ResNetForImageClassification",
        RESNET | NAMED | {"layer_type": "bottleneck", "num_channels": 1},
    ),
    "early": (
        "ResNetModel",
        RESNET
        | {"layer_type": "bottleneck", "downsample_in_bottleneck": True, "downsample_in_first_stage": True},
    ),
}


@pytest.mark.parametrize("case", PICTURES)
def test_resnet_says_what_theirs_says(case: str, tmp_path: Path) -> None:
    name, options = PICTURES[case]
    other = made(name, options, tmp_path)
    edited(tmp_path, image_size=41)
    model = pretrained(tmp_path)
    kept_back(model, tmp_path)
    images = torch.randn(
        3, options.get("num_channels", 3), 41, 41, generator=torch.Generator().manual_seed(1)
    )
    got = model(images.permute(0, 2, 3, 1).reshape(1, 3, -1))[0][0]  # a sequence of three pictures
    if name == "ResNetModel":
        agreed(got, other(images).pooler_output.flatten(1))
    else:
        order = sorted(range(4), key=["pear", "apple (1)", "fig", "apple (3)"].__getitem__)
        agreed(got, other(images).logits[:, order])
    gradients_agree(model, other, tmp_path)
    law.check(model.double())


def test_pictures_are_one_step_prepared_as_theirs_are(tmp_path: Path) -> None:
    made("ResNetForImageClassification", PICTURES["basic"][1], tmp_path)
    told = {"size": {"shortest_edge": 24}, "crop_pct": 0.75, "resample": 3, "image_mean": [0.4] * 3}
    told |= {"image_std": [0.2] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(told))
    with pytest.raises(UserError, match="aren't prepared to 224 x 224; say image_size"):
        pretrained(tmp_path)
    edited(tmp_path, image_size=24)
    model = pretrained(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (50, 41, 3), np.uint8)
    theirs = transformers.models.convnext.image_processing_pil_convnext.ConvNextImageProcessorPil(**told)
    wanted = theirs(image, return_tensors="np")["pixel_values"][0]
    steps = model.task.steps(image)
    np.testing.assert_allclose(steps, wanted.transpose(1, 2, 0).reshape(1, -1), atol=1e-5)
    assert model.task.predict(model, [steps]).shape == (1, 4)
    edited(tmp_path, depths=[2])
    with pytest.raises(UserError, match="expected as many whole numbers"):
        pretrained(tmp_path)


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ({"layers": [[8, 3, 2, 1, "relu"]], "shortcut": "same"}, "shortcut='same' from 3 to 8"),
        ({"layers": [[8, 3, 2, 1, "swish"]]}, "unknown activation 'swish'"),
        ({"layers": [[8, 3, 2, 2, "relu"]]}, "2 groups of 3 and 8"),
        ({"layers": [[8, 3, 0, 1, "relu"]]}, "stride is 0"),
        ({"layers": [], "short": 1}, "unknown key of a unit 'short'"),
        ({"layers": [], "shortcut": "both"}, "shortcut='both'"),
    ],
)
def test_units_that_cannot_be_are_refused(unit: dict[str, Any], said: str) -> None:
    embedder = {"kind": "pictures", "shape": [8, 8, 3], "units": [unit]}
    with pytest.raises(UserError, match=said):
        build(
            {
                "embedder": embedder,
                "core": {"layers": [{"kind": "pool", "width": 8}]},
                "head": {"kind": "vectors"},
            }
        )


PREPARING = [
    {"size": {"height": 12, "width": 12}},
    {"size": 12, "resample": 3, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.3, 0.2, 0.1]},
    {"size": {"shortest_edge": 14}, "do_center_crop": True, "crop_size": {"height": 12, "width": 12}},
    {"size": {"height": 12, "width": 12}, "do_normalize": False, "rescale_factor": 0.5},
]


@pytest.mark.parametrize("told", PREPARING)
@pytest.mark.parametrize("shape", [(31, 20, 3), (9, 40), (12, 12, 3), (15, 14, 3)])
def test_images_are_prepared_as_theirs_are(
    told: dict[str, Any], shape: tuple[int, ...], tmp_path: Path
) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    codec = PreparedPatches.told(told, 4, 3, "preprocessor_config.json")
    theirs = transformers.models.vit.image_processing_pil_vit.ViTImageProcessorPil(**told)
    colours = image if image.ndim == 3 else np.repeat(image[..., None], 3, 2)
    wanted = theirs(colours, return_tensors="np", input_data_format="channels_last")["pixel_values"]
    got = codec.encode(image)
    np.testing.assert_allclose(got, patches(torch.from_numpy(wanted), 4)[0], atol=1e-5)
    assert codec.patches == 9 and PreparedPatches.from_dict(codec.to_dict()).to_dict() == codec.to_dict()


def test_a_classifier_of_images_answers_and_is_kept(tmp_path: Path) -> None:
    other = made("ViTForImageClassification", IMAGES["classes"][1], tmp_path / "theirs")
    file = tmp_path / "theirs" / "preprocessor_config.json"
    file.write_text(json.dumps(PREPARING[0]))
    model = un.pretrained(tmp_path / "theirs")
    image = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    steps = model.task.steps(image)
    said = model.task.predict(model, [steps])
    processed = transformers.models.vit.image_processing_pil_vit.ViTImageProcessorPil(**PREPARING[0])
    with torch.no_grad():
        wanted = other(**processed(image, return_tensors="pt")).logits.softmax(-1)[0]
    order = [model.task.answers.names.index(name) for name in ("pear", "apple (1)", "fig", "apple (3)")]
    np.testing.assert_allclose(said[0][order], wanted, atol=1e-5)
    save_model(tmp_path / "kept", model, "A card.")
    again = load_model(tmp_path / "kept")
    np.testing.assert_allclose(again.task.predict(again, [again.task.steps(image)]), said)
    total, count = model.head.loss(model(torch.from_numpy(steps)[None])[0], torch.tensor([1]))
    assert int(count) == 1 and 0 < float(total.detach()) < 20, "weights of classes are 1"
    for changes, said in (
        ({"size": {"height": 16, "width": 16}}, "prepared to 16 patches, and .* says 9"),
        ({"size": "big"}, "images can't be prepared as it says"),
        ({"image_std": [0, 1, 1]}, "nothing that is 0"),
        ({"resample": 77}, "resample 77"),
        ({"do_center_crop": True, "crop_size": 50}, "crops .* out of"),
    ):
        file.write_text(json.dumps(PREPARING[0] | changes))
        with pytest.raises(UserError, match=said):
            pretrained(tmp_path / "theirs")
    edited(tmp_path / "theirs", id2label={"1": "a"})
    with pytest.raises(UserError, match="expected a name for each class"):
        pretrained(tmp_path / "theirs")


def turned(ids: torch.Tensor, first: int) -> torch.Tensor:
    return torch.where(ids == first, 0, torch.where(ids == 0, first, ids))


def scored(options: dict[str, Any]) -> torch.Tensor:
    """For each id of theirs where our head scores it."""
    first, ends = options["decoder_start_token_id"], options["eos_token_id"]
    order = turned(torch.arange(options["vocab_size"]), first)
    order[ends], order[first] = 0, int(order[ends])
    return order


@pytest.mark.parametrize("case", SOUNDS)
def test_whisper_says_what_theirs_says(case: str, tmp_path: Path) -> None:
    options = SOUNDS[case]
    other = made("WhisperForConditionalGeneration", options, tmp_path)
    model = pretrained(tmp_path)
    assert isinstance(model, Seq2Seq) and model.task is None
    kept_back(model, tmp_path)
    sounds = torch.randn(3, 8, 100, generator=torch.Generator().manual_seed(1))
    ids = torch.randint(5, 47, (3, 9), generator=torch.Generator().manual_seed(3))
    ids[:, 0] = 3
    read = model.condition(sounds.transpose(1, 2))
    got = model(turned(ids, 3), read)[0]
    agreed(got[..., scored(options)], other(sounds, decoder_input_ids=ids).logits)
    gradients_agree(model, other, tmp_path, ("encoder.embed_positions.weight",))


def test_whisper_s_200_tokens_are_theirs(tmp_path: Path) -> None:
    from unrolled.running.decode import decode

    options = WHISPER | {"max_target_positions": 230}
    other = made("WhisperForConditionalGeneration", options, tmp_path, seed=5)
    model = pretrained(tmp_path)
    sounds = torch.randn(2, 8, 100, generator=torch.Generator().manual_seed(1))
    order = scored(options)
    begins = torch.tensor([[3, 7, 9]] * 2)
    asked = {"do_sample": False, "min_new_tokens": 200, "max_new_tokens": 200, "suppress_tokens": [3, 4]}
    other.generation_config.eos_token_id = None
    other.generation_config.pad_token_id = 5
    wanted = transformers.generation.GenerationMixin.generate(
        other, sounds, decoder_input_ids=begins, **asked
    )[:, 3:]
    state = model.read_source(sounds.transpose(1, 2))
    said = decode(model, state, longest=202, shortest=202, prefix=[7, 9], forbidden=[int(order[3])])
    for row in range(2):
        assert [*said[row][0].tokens[2:]] == order[wanted[row]].tolist()
        assert len({*said[row][0].tokens}) > 3


def test_whisper_s_decoder_streams(tmp_path: Path) -> None:
    made("WhisperForConditionalGeneration", WHISPER, tmp_path)
    model = pretrained(tmp_path).double()
    assert isinstance(model, Seq2Seq)
    sounds = torch.randn(3, 99, 8, dtype=torch.double)
    ids = torch.randint(1, 47, (3, 12))
    with torch.no_grad():
        whole = model(ids, model.condition(sounds))[0]
        state, steps = model.read_source(sounds, capacity=20), []
        for step in ids.split(1, 1):
            y, state = model.read(step, state)
            steps.append(y)
        source = model.source(sounds).source
    torch.testing.assert_close(torch.stack(steps, 1), whole, rtol=0, atol=1e-11)
    cross = model.core.layers[2]
    assert isinstance(cross, Mixer)
    law.check(cross, source=source)


def test_sounds_are_prepared_as_theirs_are_and_written_out(tmp_path: Path) -> None:
    options = WHISPER | {"max_source_positions": 100, "num_mel_bins": 20}
    other = made("WhisperForConditionalGeneration", options, tmp_path, seed=2)
    told = {"feature_size": 20, "chunk_length": 2, "n_fft": 400, "hop_length": 160, "sampling_rate": 16000}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(told))
    asked = {"forced_decoder_ids": [[1, 7], [2, 9]], "suppress_tokens": [11, 0]}
    (tmp_path / "generation_config.json").write_text(json.dumps(asked))
    word_tokenizer(tmp_path, 47, specials=(3, 4, 7))
    model = un.pretrained(tmp_path)
    samples = np.random.default_rng(0).normal(size=20_000).astype(np.float32) * np.linspace(
        0, 0.3, 20_000, dtype="f4"
    )
    steps = model.task.steps(Sound(samples, 16_000))
    theirs = transformers.WhisperFeatureExtractor(**told)
    wanted = theirs(samples, sampling_rate=16_000, return_tensors="pt").input_features
    assert steps.shape == (200, 20)
    np.testing.assert_allclose(steps, wanted[0].T, atol=1e-4)
    text = model.task.written(model.task.predict(model, [steps]))[0]
    asked = {
        "do_sample": False,
        "max_new_tokens": 37,
        "suppress_tokens": [11, 0],
        "begin_suppress_tokens": [4],
    }
    with torch.no_grad():
        ids = transformers.generation.GenerationMixin.generate(
            other, wanted, decoder_input_ids=torch.tensor([[3, 7, 9]]), **asked
        )[0]
    names = [f"w{number}" for number in ids.tolist() if number not in (3, 4, 7)]
    assert text.split() == names and len(names) > 3
    save_model(tmp_path / "kept", model, "A card.")
    again = load_model(tmp_path / "kept")
    assert again.task.written(again.task.predict(again, [steps])) == [text]
    with pytest.raises(UserError, match="the model hears 2 s at once"):
        model.task.steps(Sound(np.zeros(40_000, np.float32), 16_000))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(told | {"chunk_length": 4}))
    with pytest.raises(UserError, match="prepares 400 frames of 20 bands"):
        pretrained(tmp_path)
    assert PreparedMel().width == 80


def test_cross_attention_has_biases_only_where_they_are_known() -> None:
    core = {"layers": [{"kind": "cross", "width": 8, "score": "dot", "bias": True}]}
    spec = {
        "embedder": {"kind": "tokens", "vocabulary": 5, "width": 8},
        "core": core,
        "head": {"kind": "tokens"},
    }
    with pytest.raises(UserError, match="bias=True with score='dot'"):
        build(spec)
