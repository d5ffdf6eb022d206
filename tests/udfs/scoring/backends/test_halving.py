"""Memory that does not suffice halves the budget and changes no score, wherever it shows."""

import weakref
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.udfs.bundles.bundle import Bundle
from tokensieve.udfs.scoring.backends.halving import Halving, WindowTooLarge
from tokensieve.udfs.scoring.backends.torch_packed import TorchPacked

LENGTHS = [60, 60, 60, 50, 50, 40, 30, 20, 20, 10]  # 400 tokens


class SmallMemory(torch.nn.Module):
    """An encoder on a device with memory for so many tokens; a pack that failed must have let go of its tensors."""

    def __init__(self, encoder: torch.nn.Module, most: int) -> None:
        super().__init__()
        self.encoder, self.most = encoder, most
        self.taken: list[int] = []
        self.left: list[weakref.ref[torch.Tensor]] = []

    def forward(self, ids_T: torch.Tensor, bounds_D1: torch.Tensor) -> torch.Tensor:
        assert [ref for ref in self.left if ref() is not None] == []
        activations = torch.zeros(len(ids_T))
        if len(ids_T) > self.most:
            self.left.append(weakref.ref(activations))
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {len(ids_T)} rows.")
        self.taken.append(len(ids_T))
        return self.encoder(ids_T, bounds_D1)


def backend(bundle: Bundle, most: int, token_budget: int = 400) -> tuple[Halving, SmallMemory]:
    inner = TorchPacked([bundle], dtype="float32", compile=False, token_budget=token_budget)
    small = SmallMemory(inner._encoder, most)
    inner._encoder = small
    return Halving(inner), small


def pack(lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    bounds_N1 = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return np.random.default_rng(0).integers(0, 300, bounds_N1[-1]), bounds_N1


def test_scores_are_those_of_a_large_memory_and_the_budget_stays_halved(bundle):
    halving, small = backend(bundle, most=150)
    large, _ = backend(bundle, most=10_000)
    pending = halving.submit(*pack(LENGTHS))
    np.testing.assert_allclose(pending.values(), large.submit(*pack(LENGTHS)).values(), atol=1e-5)
    assert (halving.token_budget, halving.out_of_memory, pending.computed) == (90, 2, 400)
    assert small.taken == [60, 60, 60, 50, 90, 80]
    halving.submit(*pack(LENGTHS)).values()
    assert halving.out_of_memory == 2
    assert (large.token_budget, large.out_of_memory) == (400, 0)


def test_a_pack_below_the_budget_that_does_not_fit_brings_the_budget_below_itself(bundle):
    halving, small = backend(bundle, most=100, token_budget=65_536)
    halving.submit(*pack([60, 60, 40])).values()
    assert (halving.token_budget, halving.out_of_memory, small.taken) == (80, 1, [60, 60, 40])


def test_one_window_that_does_not_fit_is_named_with_its_tokens(bundle):
    halving, _ = backend(bundle, most=55)
    with pytest.raises(WindowTooLarge, match=r"one window of 60 tokens .* of torch float32; .*allocate 60 rows"):
        halving.submit(*pack([60, 50]))
    assert halving.out_of_memory == 2


def test_other_errors_pass(bundle):
    halving, _ = backend(bundle, most=400)
    with pytest.raises(IndexError):
        halving.submit(np.array([10**6]), np.array([0, 1]))
    assert halving.out_of_memory == 0


class Late:
    """A back end whose memory fails when the values are fetched; a token's value is twice its id."""

    name, token_budget, out_of_memory = "late", 64, 0

    def __init__(self, most: int) -> None:
        self.most = most

    def submit(self, ids_P: np.ndarray, bounds_N1: np.ndarray) -> Any:
        return LatePending(self, ids_P)

    def busy_seconds(self) -> float:
        return 1.5


class LatePending:
    def __init__(self, owner: Late, ids_P: np.ndarray) -> None:
        self.owner, self.ids_P, self.computed = owner, ids_P, len(ids_P)

    def values(self) -> np.ndarray:
        if len(self.ids_P) > self.owner.most:
            raise torch.OutOfMemoryError
        return np.stack([2.0 * self.ids_P, -self.ids_P], axis=1).astype(np.float32)


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=20), most=st.integers(9, 40))
def test_memory_that_fails_when_values_are_fetched_changes_none(lengths, most):
    halving = Halving(Late(most))
    bounds_N1 = np.concatenate([[0], np.cumsum(sorted(lengths, reverse=True))])
    ids_P = np.arange(bounds_N1[-1])
    values_PH = halving.submit(ids_P, bounds_N1).values()
    np.testing.assert_array_equal(values_PH, np.stack([2.0 * ids_P, -ids_P], axis=1))
    if len(ids_P) <= 64:
        assert (halving.out_of_memory > 0) == (len(ids_P) > most)
    assert halving.busy_seconds() == 1.5
