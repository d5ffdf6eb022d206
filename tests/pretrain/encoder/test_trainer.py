"""Training learns, is the same in pieces as in one go, and refuses to go on with what is not its own."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.pretrain.encoder.made import config, corpus_of, run_of, store, told_by_the_right
from tokensieve.pretrain.encoder.checkpoint import Progress, ResumeError
from tokensieve.pretrain.encoder.config import Objective
from tokensieve.pretrain.encoder.trainer import fresh_model, train
from tokensieve.pretrain.errors import TrainingError


def _train(
    folder: Path,
    which: Objective = "left",
    documents: list[list[int]] | None = None,
    report: Callable[[str], Any] = lambda line: None,
    **changes: Any,
) -> Progress:
    """Trains below `folder` on the documents, by default the made-up language that the right tells."""
    recipe = config(folder, **changes)
    stores = [store(folder / "one", documents or told_by_the_right(1, 200))]
    return train(recipe, run_of(recipe, which, stores), corpus_of(recipe, stores), folder / which, report)


def _states(folder: Path) -> dict[str, str]:
    """SHA-256 of the tensors of every checkpoint."""
    found = sorted(folder.glob("step-*/state.safetensors"))
    return {path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def _losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def test_what_only_the_right_context_tells_is_learned_by_the_right_half_alone(tmp_path: Path):
    """With the released code both halves read forward, and both would end at the left one's loss."""
    changes: dict[str, Any] = {
        "model": {"dim": 32, "layers": 2, "heads": 2, "hidden": 128},
        "batch": {"context": 16, "step_tokens": 400, "microbatch_tokens": 400},
        "budget": {"tokens": 400 * 100},
    }
    last = {}
    for which in ("left", "right"):
        _train(tmp_path, which, told_by_the_right(1, 400), **changes)
        losses = _losses(tmp_path / which)
        assert losses[0] > 3
        last[which] = sum(losses[-5:]) / 5
    # Two of three targets are coins to the left half: 2 ln 2 / 3 = 0.46 nats; none is to the right half.
    assert 0.4 < last["left"] < 1
    assert last["right"] < 0.05


def test_masked_loss_falls_on_tokens_that_their_neighbours_tell(tmp_path: Path):
    documents = [[n % 7, n % 7 + 10, n % 7 + 20, n % 7 + 30] * (1 + n % 3) for n in range(200)]
    changes: dict[str, Any] = {
        "model": {"dim": 32, "layers": 1, "heads": 2, "hidden": 64},
        "batch": {"context": 16, "step_tokens": 600, "microbatch_tokens": 600},
        "budget": {"tokens": 600 * 150},
    }
    _train(tmp_path, "masked", documents, **changes)
    losses = _losses(tmp_path / "masked")
    assert losses[0] > 3
    assert sum(losses[-5:]) / 5 < 0.6


@pytest.mark.parametrize("which", ["left", "right", "masked"])
def test_an_interrupted_run_ends_with_the_same_bits_as_an_uninterrupted_one(tmp_path: Path, which: Objective):
    class Stopped(Exception):
        pass

    def stop(line: str) -> None:
        if "step 5/6" in line:
            raise Stopped

    whole = _train(tmp_path / "whole", which)
    with pytest.raises(Stopped):
        _train(tmp_path / "parts", which, report=stop)
    assert list(_states(tmp_path / "parts" / which)) == ["step-00000002", "step-00000004"]
    resumed = _train(tmp_path / "parts", which)
    assert _states(tmp_path / "parts" / which) == _states(tmp_path / "whole" / which)
    assert _losses(tmp_path / "parts" / which) == _losses(tmp_path / "whole" / which)
    assert (resumed.tokens, resumed.heldout) == (whole.tokens, whole.heldout)


def test_a_finished_run_is_not_trained_again(tmp_path: Path):
    done = _train(tmp_path)
    before = _states(tmp_path / "left")
    assert _train(tmp_path) == done
    assert _states(tmp_path / "left") == before


def test_other_settings_do_not_go_on_from_a_checkpoint(tmp_path: Path):
    _train(tmp_path)
    with pytest.raises(ResumeError, match=r"step-00000006 belongs to another run: seed was 0, is 1; put the settings"):
        _train(tmp_path, seed=1)
    recipe = config(tmp_path)
    stores = [store(tmp_path / "one", told_by_the_right(1, 200))]
    with pytest.raises(ResumeError, match="objective was left, is right"):
        train(recipe, run_of(recipe, "right", stores), corpus_of(recipe, stores), tmp_path / "left", print)


def test_accumulated_microbatches_are_one_step(tmp_path: Path):
    """The gradient is the mean over the targets of the step, not a mean of microbatches' means."""
    found = []
    for tokens in (16, 256):
        batch = {"context": 16, "step_tokens": 256, "microbatch_tokens": tokens}
        _train(tmp_path / str(tokens), documents=[[n % 50] * (1 + n % 16) for n in range(200)], batch=batch)
        found.append(_losses(tmp_path / str(tokens) / "left"))
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_weights_stay_in_float32_under_bf16(tmp_path: Path):
    from safetensors.torch import load_file

    full, half = _train(tmp_path / "a"), _train(tmp_path / "b", precision="bf16")
    state = load_file(tmp_path / "b" / "left" / "step-00000006" / "state.safetensors")
    assert {value.dtype for value in state.values()} == {torch.float32}
    assert half.heldout["one"] == pytest.approx(full.heldout["one"], rel=0.05)
    assert half.heldout["one"] != full.heldout["one"]


def test_a_loss_that_is_not_finite_names_its_documents(tmp_path: Path):
    with pytest.raises(
        TrainingError, match=r"left step \d+: loss .* gradient norm nan .* one document \d+.* lower optimizer\.lr"
    ):
        _train(tmp_path, optimizer={"lr": 1e30, "clip_grad": 1e30, "warmup_fraction": 0})


def test_the_halves_begin_differently_and_the_same_half_alike(tmp_path: Path):
    recipe = config(tmp_path)
    stores = [store(tmp_path / "one", told_by_the_right(1, 50))]
    left, right, again = (
        fresh_model(run_of(recipe, which, stores)).embedding.weight for which in ("left", "right", "left")
    )
    assert torch.equal(left, again)
    assert not torch.equal(left, right)


def test_cuda_is_asked_for_by_name(tmp_path: Path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(TrainingError, match="torch sees no GPU"):
        _train(tmp_path, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_a_gpu_learns_the_same_in_bf16(tmp_path: Path):
    cpu, gpu = _train(tmp_path / "a"), _train(tmp_path / "b", device="cuda")
    assert gpu.heldout["one"] == pytest.approx(cpu.heldout["one"], rel=0.05)
