"""Runs that start from other weights: what is copied, what trains, what stands still, and what is saved."""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unrolled as un
from unrolled.comparison.finetune import Finetuned
from unrolled.errors import UserError
from unrolled.model.weights import weights_of
from unrolled.training.base import base_of, rows_of
from unrolled.training.interrupt import Interrupted
from unrolled.training.progress import Talk
from unrolled.training.recipe import Recipe, Tuning
from unrolled.training.run import Run
from unrolled.training.setup import set_up
from unrolled.training.tuning import layers_of, tuned

GOOD, BAD = ("fine", "lovely", "great", "happy", "warm"), ("awful", "sad", "poor", "cold", "grim")
PLAIN = ("the", "day", "was", "so", "food", "here", "and", "we", "left", "it")


def table(path: Path, rows: int, seed: int, names: tuple[str, str] = ("good", "bad")) -> Path:
    """A CSV of short texts that say by one word what they are."""
    draw = random.Random(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(rows):
            words = draw.choices(PLAIN, k=6)
            words[draw.randrange(6)] = draw.choice(GOOD if number % 2 else BAD)
            writer.writerow([" ".join([*words, f"n{number}"]), names[0] if number % 2 else names[1]])
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, a text and one small run of each."""
    root = tmp_path_factory.mktemp("from")
    table(root / "rows.csv", 260, 0)
    table(root / "more.csv", 260, 1)
    table(root / "others.csv", 260, 2, ("yes", "no"))
    draw = random.Random(3)
    documents = [" ".join(draw.choices((*PLAIN, *GOOD, *BAD), k=12)) for _ in range(200)]
    (root / "text.txt").write_text("\n\n".join(documents))
    keys: dict[str, Any] = {"threads": 1, "runs": str(root / "runs"), "talk": Talk(quiet=True)}
    un.train(data=str(root / "rows.csv"), model={"kind": "lstm", "width": 24}, budget="40steps", **keys)
    un.train(
        data=str(root / "text.txt"), model={"kind": "gru", "width": 24}, budget="30steps", codec="characters",
        batch=4, length=32, **keys,
    )  # fmt: skip
    return root


def began(home: Path, **keys: Any) -> Any:
    """A set-up of the table `more.csv`, unless another is named."""
    data = str(home / keys.pop("data", "more.csv"))
    recipe = Recipe.of(data=data, runs=str(home / "runs"), threads=1, **keys)
    return set_up(recipe, {}, Talk(quiet=True))


def fine(home: Path, tmp_path: Path, **keys: Any) -> Finetuned:
    data = str(home / keys.pop("data", "more.csv"))
    out = str(tmp_path / keys.pop("name", "run"))
    done = un.finetune(data=data, threads=1, runs=str(home / "runs"), out=out, talk=Talk(quiet=True), **keys)
    assert done is not None
    return done


def test_embedder_and_core_are_copied_and_the_head_of_the_same_classes_too(home: Path) -> None:
    base = base_of("lstm-rows-1", home / "runs")
    same = began(home, from_="lstm-rows-1", tune="full", dtype="float32").learner.model
    theirs = weights_of(base.model)
    assert all(torch.equal(w, theirs[n]) for n, w in weights_of(same).items())
    other = began(home, from_="lstm-rows-1", tune="full", data="others.csv").learner.model
    drawn = {n for n, w in weights_of(other).items() if not torch.equal(w, theirs[n])}
    assert drawn and drawn <= {"head.scores.weight", "head.scores.bias"}
    fewer = began(
        home, from_="lstm-rows-1", tune="full", samples=31
    ).learner.model  # the classes' counts differ
    assert torch.equal(weights_of(fewer)["head.scores.weight"], theirs["head.scores.weight"])


def test_a_writers_core_reads_rows_under_a_new_head(home: Path) -> None:
    setup = began(home, from_="gru-text-1", tune="full")
    assert setup.recipe.model.kind == "gru" and setup.material.task_codec.kind == "characters"
    assert setup.learner.model.spec["core"]["layers"][-1]["kind"] == "pool"
    table = weights_of(base_of("gru-text-1", home / "runs").model)["embedder.table.weight"]
    assert torch.equal(setup.learner.model.embedder.table.weight, table)


def test_another_vocabulary_keeps_the_rows_of_tokens_that_both_have(home: Path) -> None:
    base = base_of("lstm-rows-1", home / "runs")
    model = began(home, from_="lstm-rows-1", tune="full", codec="words", data="others.csv").learner.model
    theirs, ours = base.codec, model.task.codec
    assert ours.to_dict() != theirs.to_dict()
    rows, old = model.embedder.table.weight, base.model.embedder.table.weight
    places = {theirs.token_text(t): t for t in range(theirs.size)}
    shared = [(t, places[ours.token_text(t)]) for t in range(ours.size) if ours.token_text(t) in places]
    assert len(shared) > 10
    assert all(torch.equal(rows[t], old[place]) for t, place in shared)


def test_rows_of_new_tokens_begin_at_the_mean() -> None:
    class Codec:
        def __init__(self, *tokens: str) -> None:
            self.tokens, self.size = tokens, len(tokens)

        def token_text(self, token: int) -> str:
            return self.tokens[token]

    old = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    made = rows_of(old, Codec("a", "b"), Codec("b", "new", "a"))
    assert made.tolist() == [[3.0, 6.0], [2.0, 4.0], [1.0, 2.0]]


def test_scratch_takes_the_shape_alone(home: Path) -> None:
    theirs = weights_of(base_of("lstm-rows-1", home / "runs").model)
    made = weights_of(began(home, from_="lstm-rows-1", tune="scratch").learner.model)
    assert {n: w.shape for n, w in made.items()} == {n: w.shape for n, w in theirs.items()}
    assert not torch.equal(made["core.layers.0.weight_hh_l0"], theirs["core.layers.0.weight_hh_l0"])


def test_a_layers_rate_is_a_share_of_the_one_above() -> None:
    model = un.build(un.preset("transformer", 10, width=8, layers=2, heads=2))
    groups = layers_of(model)
    assert [group[0].rpartition(".")[0] for group in groups] == [
        "embedder.table", "core.layers.0.project", "core.layers.2.project", "head.scores",
    ]  # fmt: skip
    assert sorted(n for group in groups for n in group) == sorted(n for n, _ in model.named_parameters())
    parts = tuned(model, Tuning(how="full", decay=0.5), 10).parts
    assert [part.rate for part in parts] == [0.125, 0.25, 0.5, 1.0]


def test_a_gradual_run_takes_one_layer_more_each_pass() -> None:
    model = un.build(un.preset("lstm", 10, width=8, layers=2))
    way = tuned(model, Tuning(how="gradual"), 10)
    trains = []
    for step in (0, 9, 10, 20, 30, 500):
        way.thaw(step)
        trains.append([all(p.requires_grad for p in part.parameters) for part in way.parts])
    assert trains == [[False, False, False, True]] * 2 + [
        [False, False, True, True], [False, True, True, True], [True] * 4, [True] * 4,
    ]  # fmt: skip


def test_what_is_frozen_by_name_stands_still(home: Path, tmp_path: Path) -> None:
    run = fine(
        home, tmp_path, from_="lstm-rows-1", tune={"how": "full", "freeze": "embedder"}, budget="12steps"
    ).run
    before, after = weights_of(base_of("lstm-rows-1", home / "runs").model), weights_of(run.model())
    assert torch.equal(before["embedder.table.weight"], after["embedder.table.weight"])
    assert not torch.equal(before["core.layers.0.weight_hh_l0"], after["core.layers.0.weight_hh_l0"])


def test_a_head_by_itself_is_the_whole_model_when_it_is_used(home: Path, tmp_path: Path) -> None:
    run = fine(home, tmp_path, from_="gru-text-1", tune="head", budget="30steps", dtype="float32").run
    before, after = weights_of(base_of("gru-text-1", home / "runs").model), weights_of(run.model())
    body = [n for n in after if not n.startswith("head.")]
    assert all(torch.equal(before[n], after[n]) for n in body if n in before)
    assert run.test is not None and run.before is not None
    assert run.evaluate("test").value == pytest.approx(run.test["value"])
    assert run.parameters == sum(w.numel() for w in after.values())
    checkpoint = sorted((run.path / "checkpoints").iterdir())[-1]
    assert (checkpoint / "weights.safetensors").stat().st_size < 4 * run.parameters


def test_adapters_are_merged_in_what_is_saved(home: Path, tmp_path: Path) -> None:
    run = fine(home, tmp_path, from_="lstm-rows-1", tune="lora", budget="30steps", dtype="float32").run
    before, after = weights_of(base_of("lstm-rows-1", home / "runs").model), weights_of(run.model())
    moved = {n for n in before if not torch.equal(before[n], after[n])}
    assert {"core.layers.0.weight_hh_l0", "core.layers.0.weight_ih_l0"} <= moved
    assert moved <= {"core.layers.0.weight_hh_l0", "core.layers.0.weight_ih_l0"} | {
        n for n in after if "head" in n
    }
    difference = after["core.layers.0.weight_hh_l0"] - before["core.layers.0.weight_hh_l0"]
    assert int(torch.linalg.matrix_rank(difference.double(), rtol=1e-4)) <= 4


@pytest.mark.parametrize("how", ["head", "full", "gradual", "lora"])
def test_a_stopped_run_goes_on_bit_for_bit(home: Path, tmp_path: Path, how: str) -> None:
    keys: dict[str, Any] = {
        "data": str(home / "more.csv"), "from_": "lstm-rows-1", "tune": how, "budget": "16steps",
        "evaluate_every": 4, "threads": 1, "runs": str(home / "runs"), "talk": Talk(quiet=True),
    }  # fmt: skip
    whole = un.train(**keys, out=str(tmp_path / "whole"))

    def stop(session: Any) -> None:
        if session.learner.progress.step == 7:
            raise Interrupted("enough", 2)

    with pytest.raises(Interrupted):
        un.train(**keys, out=str(tmp_path / "cut"), on_step=stop)
    done = un.train(resume=str(tmp_path / "cut"), runs=str(home / "runs"), talk=Talk(quiet=True))
    assert whole is not None and done is not None
    assert all(torch.equal(w, weights_of(done.model())[n]) for n, w in weights_of(whole.model()).items())


def test_few_labels_are_drawn_evenly_and_held_out_rows_stay(home: Path) -> None:
    all_rows, few = began(home, from_="lstm-rows-1"), began(home, from_="lstm-rows-1", samples=20)
    assert few.material.rows == 20
    assert np.bincount(few.material.examples("train").targets).tolist() == [10, 10]
    for part in ("valid", "test"):
        assert len(few.material.examples(part)) == len(all_rows.material.examples(part))
    with pytest.raises(UserError, match="samples=9999: there are"):
        began(home, from_="lstm-rows-1", samples=9999)


def test_beside_it_stands_the_same_from_scratch(home: Path, tmp_path: Path) -> None:
    done = un.finetune(
        "lstm-rows-1", data=str(home / "more.csv"), budget="10steps", scratch=True, threads=1, tune="full",
        runs=str(home / "runs"), talk=Talk(quiet=True),
    )  # fmt: skip
    assert done is not None and done.scratch is not None and done.gain is not None
    assert done.scratch.recipe.tune.how == "scratch" and done.scratch.before is None
    assert done.run.test is not None and done.scratch.test is not None
    assert done.gain["value"] == pytest.approx(done.run.test["value"] - done.scratch.test["value"])
    low, high = done.gain["interval"]
    assert low <= done.gain["value"] <= high
    assert [line.split()[0] for line in done.table().splitlines()] == [
        "before", done.run.name, done.scratch.name, "gain",
    ]  # fmt: skip
    assert done.to_dict()["run"]["before"] == done.run.before


def test_last_is_written_down_by_its_name(home: Path) -> None:
    before = {r.name for r in Run.all(home / "runs")}
    keys: dict[str, Any] = {"runs": str(home / "runs"), "threads": 1, "budget": "3steps"}
    run = un.train(from_="@last", tune="full", data=str(home / "more.csv"), talk=Talk(quiet=True), **keys)
    assert run is not None and run.recipe.from_ in before
    assert "from=" + str(run.recipe.from_) in (run.path / "command.txt").read_text().replace("'", "")


def test_other_weights_than_it_started_from_stop_a_run_that_goes_on(home: Path, tmp_path: Path) -> None:
    from shutil import copytree

    copytree(home / "runs" / "lstm-rows-1" / "model", tmp_path / "base")
    run = fine(home, tmp_path, from_=str(tmp_path / "base"), tune="lora", budget="4steps").run
    other = un.train(
        data=str(home / "rows.csv"), model={"kind": "lstm", "width": 24}, budget="2steps", threads=1, seed=5,
        runs=str(tmp_path / "runs"), talk=Talk(quiet=True),
    )  # fmt: skip
    assert other is not None
    for file in (other.path / "model").iterdir():
        (tmp_path / "base" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UserError, match="has changed since run started from it"):
        un.train(resume=str(run.path), budget="+4steps", talk=Talk(quiet=True))


@pytest.mark.parametrize(
    "keys, said",
    [
        ({"from_": "nothing-of-the-kind"}, "unknown run or pretrained model: 'nothing-of-the-kind'"),
        ({"from_": "lstm-rows-1", "model": "gru"}, "model=gru beside from=lstm-rows-1"),
        ({"from_": "lstm-rows-1", "model": {"width": 8}}, "model.width beside from="),
        ({"from_": "lstm-rows-1", "tune": {"how": "full", "rank": 2}}, "tune.rank is of tune=lora"),
        ({"from_": "lstm-rows-1", "tune": {"how": "full", "freeze": "no_such"}}, "nothing is called so"),
        ({"from_": "lstm-rows-1", "vectors": "v.txt"}, "vectors= beside from="),
        ({"from_": "lstm-rows-1", "data": "text.txt"}, "doesn't go on with text"),
        ({"from_": "gru-text-1", "data": "text.txt", "tune": "head"}, "a new head is for answers"),
        ({"from_": "gru-text-1", "data": "text.txt", "samples": 5}, "samples= counts rows with answers"),
        ({"tune": "lora"}, "say which with from="),
    ],
)
def test_what_does_not_fit_is_refused_in_words(home: Path, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        began(home, **keys)


def test_numbers_are_not_given_to_what_reads_words(home: Path, tmp_path: Path) -> None:
    lines = ["a,b,label", *(f"{n * 0.5},{n % 7},{'x' if n % 2 else 'y'}" for n in range(200))]
    (tmp_path / "numbers.csv").write_text("\n".join(lines))
    with pytest.raises(UserError, match="lstm-rows-1 reads|reads category or text"):
        began(home, from_="lstm-rows-1", data=tmp_path / "numbers.csv", input="a", target="label")


def test_the_verb_says_plan_before_and_after(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from unrolled.cli.main import main

    monkeypatch.chdir(tmp_path)
    words = [
        "finetune",
        "lstm-rows-1",
        f"data={home / 'more.csv'}",
        "tune=lora",
        "budget=5steps",
        "threads=1",
    ]
    assert main([*words, f"runs={home / 'runs'}", "--dry-run"]) == 0
    said = capfd.readouterr().err
    assert "trains    lora: " in said and "weights train (" in said and "before" not in said
    assert main([*words, f"runs={home / 'runs'}", f"out={tmp_path / 'tuned'}"]) == 0
    said = capfd.readouterr().err
    assert "before    accuracy" in said
    assert main(["finetune", f"data={home / 'more.csv'}"]) == 2
    assert "say what to start from" in capfd.readouterr().err
    assert main(["finetune", "gpt2", f"data={home / 'more.csv'}"]) == 4
    assert sys.modules.get("peft") is None


def test_quality_by_labels_is_drawn_for_each_start(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from unrolled.cli.main import main

    monkeypatch.chdir(tmp_path)
    words = [
        "compare", f"data={home / 'more.csv'}", "from=lstm-rows-1,scratch", "samples=20,all", "budget=5steps",
        "threads=1", f"runs={home / 'runs'}", f"out={tmp_path / 'labels'}",
    ]  # fmt: skip
    assert main(words) == 0
    said = capfd.readouterr().out.splitlines()
    assert [line.split()[:2] for line in said[1:5]] == [
        ["lstm-rows-1", "20"], ["lstm-rows-1", "208"], ["scratch", "20"], ["scratch", "208"],
    ]  # fmt: skip
    assert "208 labels" in said[5]
    told = Run.at(tmp_path / "labels" / "scratch-20-0")
    assert told.test is not None and f"{told.test['value']:.4f}" in said[3]
    assert (tmp_path / "labels" / "labels.svg").read_text().startswith("<svg")
    assert main([*words[:3], "samples=many"]) == 2
    assert "expected whole numbers or all" in capfd.readouterr().err
    assert main([*words[:3], "models=gru"]) == 2


def counted(tmp_path: Path) -> Path:
    """A folder of a tiny BERT that counts 12 steps, with a tokenizer of whole words."""
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *PLAIN, *GOOD, *BAD]
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=12,
    )  # fmt: skip
    folder = tmp_path / "tiny"
    BertModel(config).save_pretrained(folder)
    made = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    (folder / "tokenizer.json").write_text(json.dumps(json.loads(made.to_str())))
    return folder


def test_of_a_text_longer_than_the_model_counts_the_beginning_is_read_aloud(
    home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = (home / "more.csv").read_text().splitlines()
    long = [line.replace(",", " and" * 30 + ",") for line in lines[1:6]]
    (tmp_path / "long.csv").write_text("\n".join([lines[0], *long, *lines[6:]]))
    folder = counted(tmp_path)
    setup = began(home, data=tmp_path / "long.csv", from_=str(folder), tune="full")
    inputs = [steps for part in ("train", "valid", "test") for steps in setup.material.examples(part).inputs]
    assert max(map(len, inputs)) == 12
    assert {int(steps[-1]) for steps in inputs} == {setup.material.task_codec.turned(np.array([3]))[0]}
    said = [note for note in setup.material.notes if "all that the model counts" in note]
    assert said and sum(int(note.split(": ")[1].split()[0]) for note in said) == 5
    run = fine(
        home, tmp_path, data=tmp_path / "long.csv", from_=str(folder), tune="head", budget="20steps"
    ).run
    un.predict(run.model(), [{"text": "the food was lovely" + " and" * 40}])
    assert "no more is read of them" in capfd.readouterr().err
    assert run.evaluate("test").value == pytest.approx((run.test or {})["value"])


def test_steps_are_summed_up_as_they_were_and_not_at_all_for_answers_of_every_step(home: Path) -> None:
    base = base_of("lstm-rows-1", home / "runs")
    layers = [dict(layer) for layer in base.model.spec["core"]["layers"]]
    layers[-1]["reduce"] = "max"
    base.model.spec = {**base.model.spec, "core": {**base.model.spec["core"], "layers": layers}}
    head = {"kind": "labels", "classes": 3}
    whole = base.under(head, None, stepwise=False, codec=base.codec)
    assert whole["core"]["layers"][-1]["reduce"] == "max"
    assert base.under(head, "last", False, base.codec)["core"]["layers"][-1]["reduce"] == "last"
    every = base.under(head, None, stepwise=True, codec=base.codec)
    assert [layer["kind"] for layer in every["core"]["layers"]] == ["lstm"]


@pytest.mark.parametrize("how", ["full", "lora"])
def test_text_is_gone_on_with_in_the_same_codec_and_resumed(home: Path, tmp_path: Path, how: str) -> None:
    (tmp_path / "other.txt").write_text(
        "\n\n".join(f"An Xylophone, {n} & more: we left it so." for n in range(200))
    )
    keys: dict[str, Any] = {"batch": 4, "length": 16, "budget": "6steps", "evaluate_every": 3}
    keys["dtype"] = "float32"
    run = fine(home, tmp_path, data=tmp_path / "other.txt", from_="gru-text-1", tune=how, **keys).run
    base = base_of("gru-text-1", home / "runs")
    assert run.model().task.codec.to_dict() == base.codec.to_dict() and run.recipe.codec == "auto"
    assert run.before is not None and run.evaluate("test").value == pytest.approx((run.test or {})["value"])
    more = un.train(resume=str(run.path), budget="+4steps", runs=str(home / "runs"), talk=Talk(quiet=True))
    assert more is not None and more.step == 10 and more.before == run.before


def test_a_writer_with_a_tokenizer_of_its_own_is_tuned_and_resumed(home: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel

    words = ["<end>", "<unk>", *PLAIN, *GOOD, *BAD]
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(words), n_embd=16, n_layer=2, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0
    )
    folder = tmp_path / "gpt"
    GPT2LMHeadModel(config).save_pretrained(folder)
    made = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    (folder / "tokenizer.json").write_text(made.to_str())
    keys: dict[str, Any] = {"batch": 4, "length": 12, "budget": "6steps", "evaluate_every": 3}
    run = fine(home, tmp_path, data="text.txt", from_=str(folder), tune="lora", dtype="float32", **keys).run
    assert run.recipe.codec == "auto" and run.model().task.codec.kind == "tokenizer"
    assert run.evaluate("test").value == pytest.approx((run.test or {})["value"])
    more = un.train(resume=str(run.path), budget="+2steps", runs=str(home / "runs"), talk=Talk(quiet=True))
    assert more is not None and more.step == 8


def test_what_is_drawn_anew_trains_or_is_refused(home: Path) -> None:
    setup = began(home, from_="lstm-rows-1", tune="lora", model={"pool": "attention"})
    assert setup.learner.model.get_parameter("core.layers.1.score.weight").requires_grad
    with pytest.raises(UserError, match=r"tune=head: core\.layers\.1\.score\.weight was drawn anew"):
        began(home, from_="lstm-rows-1", tune="head", model={"pool": "attention"})


@pytest.mark.parametrize(
    "tune, said",
    [
        ({"how": "full", "freeze": "."}, "leaves nothing that trains"),
        ({"how": "lora", "freeze": "core"}, "leaves no matrix to adapt"),
        ({"how": "head", "decay": 0.5}, "tune.decay is of tune=full and gradual"),
        ({"rank": 2}, "tune.rank is of tune=lora, and here it is tune=full"),
    ],
)
def test_keys_that_leave_nothing_or_do_nothing_are_refused(
    home: Path, tune: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        began(home, from_="lstm-rows-1", tune=tune)


def test_a_gradual_run_has_passes_enough_for_every_layer(home: Path) -> None:
    setup = began(home, from_="lstm-rows-1", tune="gradual")
    way = setup.learner.tuned
    assert int(setup.recipe.budget.removesuffix("steps")) >= len(way.parts) * way.every


def test_scratch_beside_resume_is_refused(home: Path) -> None:
    with pytest.raises(UserError, match="scratch= stands beside a run that begins"):
        un.finetune(resume="lstm-rows-1", budget="+2steps", scratch=True, runs=str(home / "runs"))
