"""Training through megatron-core on a CPU: gradients, losses, refusals, and what is left behind."""

import contextlib
import itertools
import json
import os
import warnings

import pytest

pytest.importorskip("megatron.core", reason="needs megatron-core")

import torch
import torch.distributed as dist
from safetensors.torch import load_file

from tests.small_runs import COUNTING, small_run
from tokensieve.pretrain.errors import TrainingError
from tokensieve.pretrain.process_group import ProcessGroupError, process_group
from tokensieve.pretrain.training.config import ParallelConfig, PretrainConfig
from tokensieve.pretrain.training.engine import Engine, Microbatch
from tokensieve.pretrain.training.megatron_patches import CpuShimError, cpu_shim
from tokensieve.pretrain.training.parallel import model_parallel
from tokensieve.pretrain.training.plan import plan
from tokensieve.pretrain.training.train import train

SPEED = ["seconds", "tokens_per_second", "mfu"]


def config(**changes) -> PretrainConfig:
    base = {"model": {"layers": 2, "hidden_size": 32, "heads": 4}, "optimizer": {"lr": 1e-2}, "steps": 25}
    return small_run(**base | changes)


@pytest.fixture
def engine():
    """A small model on the CPU, inside everything that Megatron needs."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(cpu_shim())
        stack.enter_context(process_group(torch.device("cpu")))
        ranks = stack.enter_context(model_parallel(ParallelConfig(), seed=7))
        yield Engine(config(), padded_vocab_size=64, steps=25, device=torch.device("cpu"), ranks=ranks)


def microbatch(tokens, labels, mask) -> Microbatch:
    tokens_BT, labels_BT, mask_BT = torch.tensor(tokens), torch.tensor(labels), torch.tensor(mask)
    return Microbatch(
        samples=tuple(range(len(tokens))),
        tokens_BT=tokens_BT,
        labels_BT=labels_BT,
        loss_mask_BT=mask_BT.float(),
        position_ids_BT=torch.arange(tokens_BT.shape[1]).expand_as(tokens_BT),
    )


def gradients(engine, *batches) -> dict[str, torch.Tensor]:
    engine.accumulate(batches)
    return {name: gradient.clone() for name, gradient in engine.gradients().items()}


def same_bits(one, two) -> bool:
    return all(torch.equal(one[name], two[name]) for name in one)


TOKENS = [[(3 * row + i) % 60 + 1 for i in range(16)] for row in range(4)]
LABELS = [[(3 * row + i + 1) % 60 + 1 for i in range(16)] for row in range(4)]
MASK = [[int(i % 4 != row) for i in range(16)] for row in range(4)]


def test_masked_labels_do_not_reach_the_gradient_by_a_single_bit(engine):
    other = [[label if keep else 50 for label, keep in zip(*rows)] for rows in zip(LABELS, MASK)]
    everywhere = [[50 for _ in row] for row in LABELS]
    before = gradients(engine, microbatch(TOKENS, LABELS, MASK))
    assert same_bits(before, gradients(engine, microbatch(TOKENS, other, MASK)))
    assert not same_bits(before, gradients(engine, microbatch(TOKENS, everywhere, MASK)))
    assert all(float(gradient.abs().max()) > 0 for gradient in before.values())


def test_microbatch_without_loss_adds_nothing_and_stays_finite(engine):
    nothing = microbatch(TOKENS[:2], LABELS[:2], [[0] * 16] * 2)
    something = microbatch(TOKENS[2:], LABELS[2:], MASK[2:])
    alone = gradients(engine, something)
    assert same_bits(alone, gradients(engine, nothing, something))
    loss = engine.accumulate([nothing, nothing])
    assert (loss.loss_sum, loss.loss_tokens, loss.loss_sums_M) == (0.0, 0, (0.0, 0.0))
    assert all(bool((gradient == 0).all()) for gradient in engine.gradients().values())


def test_every_loss_bearing_token_weighs_the_same_however_the_batch_is_cut(engine):
    sparse = [[1] * 16, [0] * 15 + [1], [0] * 16, [1, 0] * 8]
    whole = gradients(engine, microbatch(TOKENS, LABELS, sparse))
    cut = gradients(engine, *(microbatch([t], [y], [m]) for t, y, m in zip(TOKENS, LABELS, sparse)))
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, rtol=1e-4, atol=1e-6)


def test_loss_sum_is_the_cross_entropy_of_unmasked_labels(engine):
    batch = microbatch(TOKENS, LABELS, MASK)
    with torch.no_grad():
        logits_BTV = engine.model(batch.tokens_BT, batch.position_ids_BT, engine._attention_mask)
    keep_BT = batch.loss_mask_BT.bool()
    expected = torch.nn.functional.cross_entropy(logits_BTV[keep_BT], batch.labels_BT[keep_BT], reduction="sum")
    loss = engine.accumulate([batch])
    assert loss.loss_tokens == sum(map(sum, MASK)) == 48
    assert loss.loss_sum == pytest.approx(float(expected), rel=1e-5)


def test_training_lowers_the_loss_and_writes_metrics_weights_and_result(write_corpus, tmp_path):
    shards, out, seen = write_corpus(COUNTING), tmp_path / "out", []
    result = train(config(), shards, out, progress=seen.append)
    todo = plan(config(), shards)
    assert result.first_loss is not None
    assert result.last_loss is not None
    assert result.last_loss < 0.6 * result.first_loss
    assert (result.steps, result.skipped_steps, result.tokens) == (25, 0, 25 * 64)
    assert result.corpus_id == todo.corpus_id
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(25))
    assert list(lines[0]) == ["step", "loss", "loss_tokens", "tokens", "lr", "grad_norm", "batch", *SPEED]
    assert sum(line["loss_tokens"] for line in lines) == result.loss_tokens
    assert result.loss_tokens == pytest.approx(todo.loss_tokens_expected, rel=0.05)
    assert [record.step for record in seen] == [0, 10, 20, 24]
    assert json.loads((out / "train.json").read_text())["last_loss"] == result.last_loss
    assert json.loads((out / "config.json").read_text())["manifest_id"] == todo.corpus_id
    weights = load_file(out / "model.safetensors")
    assert sum(weight.numel() for weight in weights.values()) == todo.parameters


def test_learning_rate_warms_up_from_the_first_step_and_ends_near_its_minimum(write_corpus, tmp_path):
    train(config(steps=20), write_corpus(COUNTING), tmp_path / "out")
    rates = [json.loads(line)["lr"] for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert rates[0] == pytest.approx(0.005)
    assert rates[2] == pytest.approx(0.01)
    assert all(a > b for a, b in itertools.pairwise(rates[2:]))
    assert rates[-1] == pytest.approx(0.001, rel=0.1)


def test_training_twice_gives_the_same_bytes_and_leaves_nothing_behind(write_corpus, tmp_path):
    shards = write_corpus(COUNTING, COUNTING[::-1])
    before = (torch.get_rng_state(), torch.cuda.current_device, dict(os.environ), list(warnings.filters))
    for name in ("one", "two"):
        train(config(steps=8), shards, tmp_path / name)
    after = (torch.get_rng_state(), torch.cuda.current_device, dict(os.environ), list(warnings.filters))
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert not dist.is_initialized()
    assert torch._C._len_torch_function_stack() == 0
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert losses[0] == losses[1]


def test_other_seed_and_no_positions_give_another_model(write_corpus, tmp_path):
    shards = write_corpus(COUNTING)
    variants = {
        "base": config(steps=2),
        "seed": config(steps=2, seed=1),
        "none": config(steps=2, model={"layers": 2, "hidden_size": 32, "heads": 4, "position": "none"}),
        "unmasked": config(steps=2, filter={"mode": "none"}),
    }
    losses = {name: train(variant, shards, tmp_path / name).last_loss for name, variant in variants.items()}
    assert len(set(losses.values())) == 4


def test_step_without_loss_bearing_tokens_is_skipped_and_recorded(write_corpus, tmp_path):
    # Half of the documents, each longer than a sample, bear no loss at all.
    documents = [([*range(1, 40), 0], [row % 2] * 40) for row in range(12)]
    settings = config(steps=20, micro_batch_size=1, global_batch_size=1)
    result = train(settings, write_corpus(documents), tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    skipped = [line for line in lines if line["loss_tokens"] == 0]
    assert 0 < len(skipped) == result.skipped_steps < 20
    assert all(line["loss"] is None and line["grad_norm"] is None for line in skipped)
    assert all(line["loss"] > 0 and line["grad_norm"] > 0 for line in lines if line["loss_tokens"])


@pytest.mark.parametrize(
    ("lr", "message"),
    [
        (1e15, r"step 1: the loss is not finite in samples \[\[4, 5\], \[6, 7\]\]"),
        (1e30, r"step 1: the gradient norm is nan \(learning rate .*\) in samples \[\[4, 5\], \[6, 7\]\]"),
    ],
)
def test_number_that_is_not_finite_stops_the_run_and_names_the_samples(write_corpus, tmp_path, lr, message):
    settings = config(optimizer={"lr": lr, "warmup_fraction": 0})
    with pytest.raises(TrainingError, match=message) as caught:
        train(settings, write_corpus(COUNTING), tmp_path / "out")
    assert "SampleOrigin(shard='shard-00000', documents=[" in str(caught.value)
    assert len((tmp_path / "out" / "metrics.jsonl").read_text().splitlines()) == 1
    assert not (tmp_path / "out" / "train.json").exists()
    assert not dist.is_initialized()


def test_bf16_trains_too(write_corpus, tmp_path):
    result = train(config(precision="bf16"), write_corpus(COUNTING), tmp_path / "out")
    assert result.first_loss is not None
    assert result.last_loss is not None
    assert result.last_loss < 0.7 * result.first_loss


def test_missing_gpu_and_an_existing_process_group_are_refused(write_corpus, tmp_path, engine):
    if torch.cuda.is_available():
        pytest.skip("a GPU is there")
    with pytest.raises(TrainingError, match="torch sees no GPU"):
        train(config(device="cuda"), tmp_path, tmp_path)
    with pytest.raises(ProcessGroupError, match="initialised already"):
        train(config(), write_corpus(COUNTING), tmp_path / "out")


def test_cpu_shim_refuses_to_work_beside_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(CpuShimError, match="CUDA is available"), cpu_shim():
        pass


def test_samples_fetched_by_worker_processes_are_the_same(write_corpus, tmp_path):
    shards = write_corpus(COUNTING)
    for name, workers in (("here", 0), ("ahead", 2)):
        train(config(steps=6, loader_workers=workers), shards, tmp_path / name)
    here, ahead = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("here", "ahead")
    )
    assert [line["batch"] for line in ahead] == [line["batch"] for line in here]
    assert [line["loss"] for line in ahead] == [line["loss"] for line in here]
