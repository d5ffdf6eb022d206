"""The plan: its numbers, and that each reason against a run is named with its numbers."""

import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from tokensieve.pretrain.errors import ManifestError
from tokensieve.pretrain.training.config import PretrainConfig
from tokensieve.pretrain.training.model_config import ModelConfig
from tokensieve.pretrain.training.plan import PlanError, plan

# 100 documents of 10 tokens, 6 of which bear loss: 1,000 tokens, 600 loss-bearing, 62 samples of 16.
DOCUMENTS = [([1, 2, 3, 4, 5, 6, 7, 8, 9, 0], [1, 0, 0, 1, 1, 0, 0, 1, 1, 1])] * 100
MODEL = {"layers": 2, "hidden_size": 32, "heads": 4}


def config(**changes) -> PretrainConfig:
    settings = {
        "seq_length": 16,
        "micro_batch_size": 2,
        "global_batch_size": 4,
        "model": MODEL,
        "steps": 10,
        **changes,
    }
    return PretrainConfig.model_validate(settings)


def edit_tokenizer(folder, **changes) -> None:
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    content["tokenizer"].update(changes)
    path.write_text(json.dumps(content))


def test_plan_counts_steps_epochs_tokens_parameters_and_flops(write_corpus):
    todo = plan(config(), write_corpus(DOCUMENTS))
    assert (todo.steps, todo.samples, todo.samples_per_epoch) == (10, 40, 62)
    assert (todo.tokens, todo.loss_tokens_expected, todo.unreachable_tokens) == (640, 384, 8)
    # 64 rows x 32, two layers of 4 x 32 x 32 + 2 x 32 x 128 + 2 x 32, one norm of 32.
    assert todo.parameters == 2048 + 2 * (4096 + 8192 + 64) + 32 == 26_784
    assert todo.flops == 6 * 26_784 * 640
    assert todo.epochs == pytest.approx(40 / 62)


def test_plan_prints_every_number_that_a_user_decides_on(write_corpus):
    text = "\n".join(plan(config(), write_corpus(DOCUMENTS)).lines())
    for part in (
        "26,784",
        "40 (0.65 epochs of 62)",
        "640",
        "384 expected (60.0%)",
        "8 tokens an epoch",
        "1.03e+08",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"tokens": 384}, 10),  # 384 / (4 x 16 x 0.6)
        ({"tokens": 385}, 11),
        ({"tokens": 640, "budget_counts": "total"}, 10),
        ({"tokens": 640, "filter": {"mode": "none"}}, 10),
    ],
)
def test_token_budget_becomes_steps_by_the_share_of_loss_bearing_tokens(write_corpus, changes, steps):
    assert plan(config(steps=None, **changes), write_corpus(DOCUMENTS)).steps == steps


@pytest.mark.parametrize(
    ("changes", "world_size", "message"),
    [
        ({"global_batch_size": 5}, 1, "global_batch_size 5 is not a multiple of micro_batch_size 2 x 1"),
        ({}, 3, "global_batch_size 4 is not a multiple of micro_batch_size 2 x 3 processes = 6"),
        ({"seq_length": 1000}, 1, "seq_length 1000 needs 1001 tokens, the largest shard has 1000"),
        (
            {"steps": 16},
            1,
            r"need 64 samples \(1024 tokens\), but 1 epochs of these shards give 62 \(1000 tokens",
        ),
        ({"steps": 32, "epochs_allowed": 2}, 1, "set epochs_allowed to 3"),
    ],
)
def test_run_that_cannot_be_done_is_refused_with_its_numbers(write_corpus, changes, world_size, message):
    with pytest.raises(PlanError, match=message):
        plan(config(**changes), write_corpus(DOCUMENTS), world_size=world_size)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"padded_vocab_size": 60}, "vocabulary of 64 ids but the padded vocabulary is 60"),
        ({"eod": 64}, "eod 64 is outside the padded vocabulary of 64"),
        ({"hidden_id": 70}, "hidden_id 70 is outside the padded vocabulary of 64"),
    ],
)
def test_ids_without_a_row_in_the_model_are_refused(write_corpus, changes, message):
    folder = write_corpus(DOCUMENTS)
    edit_tokenizer(folder, **changes)
    with pytest.raises(PlanError, match=message):
        plan(config(), folder)


def test_changed_tokenizer_file_is_refused_and_all_reasons_come_at_once(write_corpus):
    folder = write_corpus(DOCUMENTS)
    (folder / "tokenizer.json").write_bytes(b"[]")
    with pytest.raises(PlanError) as caught:
        plan(config(steps=100, global_batch_size=5), folder)
    assert [reason.split()[0] for reason in caught.value.reasons] == ["tokenizer", "global_batch_size", "100"]
    (folder / "tokenizer.json").unlink()
    with pytest.raises(PlanError, match=r"tokenizer file .* is missing"):
        plan(config(), folder)


def test_corpus_without_any_loss_is_refused(write_corpus):
    folder = write_corpus([(ids, [0] * 10) for ids, _ in DOCUMENTS])
    with pytest.raises(PlanError, match="none of the 1000 tokens bears loss"):
        plan(config(), folder)
    assert plan(config(filter={"mode": "none"}), folder).loss_tokens_expected == 640


def test_plan_without_shards_says_which_command_comes_first(tmp_path):
    with pytest.raises(ManifestError, match="run `tokensieve export` first"):
        plan(config(), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": 100}, "exactly one of steps, tokens and tokens_per_parameter .*'steps': 10, 'tokens': 100"),
        ({"steps": None}, "exactly one of steps, tokens and tokens_per_parameter .*'steps': None, 'tokens': None"),
        ({"stepz": 3}, "stepz"),
        ({"model": {**MODEL, "heads": 5}}, "hidden_size 32 is not a multiple of heads 5"),
        ({"model": {**MODEL, "heads": 32}}, "rope needs an even head size"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        config(**changes)


def test_ffn_defaults_to_four_times_the_width():
    assert ModelConfig(layers=1, hidden_size=32, heads=4).ffn == 128
    assert ModelConfig(layers=1, hidden_size=32, heads=4, ffn_hidden_size=100).ffn == 100


def test_planning_imports_neither_torch_nor_megatron():
    names = "tokensieve.pretrain.training.plan, tokensieve.pretrain.training.train"
    code = f"import sys, {names}; print([m for m in ('torch', 'megatron') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("changes", "steps", "from_step", "loss_tokens"),
    [
        ({"steps": 10, "filter": {"from_fraction": 0.4}}, 10, 4, 640 * (0.4 + 0.6 * 0.6)),
        ({"steps": 10, "filter": {"from_step": 20}}, 10, 10, 640),
        ({"tokens": 640, "filter": {"from_step": 4}}, 14, 4, 896 * (4 / 14 + 10 / 14 * 0.6)),  # 4 x 64 + 10 x 38.4
        ({"tokens": 640, "filter": {"from_fraction": 0.5}}, 13, 6, 832 * (6 / 13 + 7 / 13 * 0.6)),
        ({"tokens_per_parameter": 0.02}, 14, 0, 896 * 0.6),  # 535.68 unmasked tokens
        (
            {"steps": 10, "filter": {"noise": {"miss": 0.5, "false_alarm": 0.1}}},
            10,
            0,
            640 * (0.1 + 0.5 * 0.9 + 0.4 * 0.5),
        ),
    ],
)
def test_delay_and_noise_enter_the_budget(write_corpus, changes, steps, from_step, loss_tokens):
    todo = plan(config(**{"steps": None} | changes), write_corpus(DOCUMENTS))
    assert (todo.steps, todo.filter_from_step, todo.loss_tokens_expected) == (steps, from_step, round(loss_tokens))


def test_threshold_and_share_enter_the_budget_by_the_counts_of_the_manifest(write_corpus):
    scored = [(ids, mask, [0, 50, 100, 128, 128, 150, 200, 250, 255, 0]) for ids, mask in DOCUMENTS]
    shards = write_corpus(scored)
    half = plan(config(filter={"threshold": 0.5}), shards)
    assert (half.score_level, half.loss_tokens_expected) == (128, 640 * 4 // 10)
    share = plan(config(filter={"forget_share": 0.21}), shards)
    assert (share.score_level, share.loss_tokens_expected) == (201, 640 * 8 // 10)  # 250 and 255: two of ten
    assert plan(config(filter={"threshold": 0.5, "mode": "none"}), shards).loss_tokens_expected == 640


def test_threshold_without_scores_is_refused(write_corpus):
    with pytest.raises(PlanError, match=r"exported without scores; set export\.scores to a policy"):
        plan(config(filter={"threshold": 0.5}), write_corpus(DOCUMENTS))


@pytest.mark.parametrize(
    ("changes", "world_size", "message"),
    [
        ({"parallel": {"tensor": 2}}, 3, "3 processes are not a multiple of tensor 2 x pipeline 1"),
        ({"parallel": {"tensor": 3}}, 3, "heads 4 is not a multiple of parallel.tensor 3"),
        ({"parallel": {"tensor": 3}}, 3, "the padded vocabulary 64 is not a multiple of parallel.tensor 3"),
        ({"parallel": {"pipeline": 4}}, 4, "layers 2 is not a multiple of parallel.pipeline 4"),
    ],
)
def test_models_that_cannot_be_cut_are_refused_with_the_numbers(write_corpus, changes, world_size, message):
    with pytest.raises(PlanError, match=message):
        plan(config(**changes), write_corpus(DOCUMENTS), world_size=world_size)


def test_data_parallel_size_is_what_tensor_and_pipeline_leave(write_corpus):
    todo = plan(config(parallel={"tensor": 2, "pipeline": 2}), write_corpus(DOCUMENTS), world_size=8)
    assert todo.data_parallel == 2


def test_only_the_split_train_is_planned_for(write_corpus):
    todo = plan(config(steps=3), write_corpus(DOCUMENTS[:50], DOCUMENTS[50:], splits=["train", "valid"]))
    assert todo.samples_per_epoch == 31


def test_missing_files_of_a_shard_are_named_before_anything_starts(write_corpus):
    shards = write_corpus(DOCUMENTS)
    (shards / "shard-00000_mask.bin").unlink()
    with pytest.raises(PlanError, match=r"shard-00000_mask\.bin is missing; export again, or copy the shard set whole"):
        plan(config(), shards)
