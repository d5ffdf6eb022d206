"""The GPU says what the CPU says, whatever is packed with what, and goes on when its memory does not suffice."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from tokensieve.udfs.bundles.bundle import Bundle
from tokensieve.udfs.encoders.attention import attend
from tokensieve.udfs.encoders.encoder import build
from tokensieve.udfs.packing.packed_row import PackedRow
from tokensieve.udfs.scoring.backends.cuda import CudaBackend
from tokensieve.udfs.scoring.backends.halving import Halving
from tokensieve.udfs.scoring.shared_pass import build_backend

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

LENGTHS = [64, 64, 60, 33, 33, 17, 9, 1]


def pack(lengths: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    bounds_N1 = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return np.random.default_rng(seed).integers(0, 300, bounds_N1[-1]), bounds_N1


def backend(bundle: Bundle, *, dtype: str = "float32", compile: bool = False) -> CudaBackend:
    return CudaBackend([bundle], device="cuda", dtype=dtype, compile=compile, token_budget=281)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("causal", "reach"), [(True, None), (False, None), (False, 8)])
@pytest.mark.parametrize("head", [64, 12])
def test_attention_is_that_of_the_cpu_in_float32(dtype, causal, reach, head):
    """12 columns are too odd for flash attention: there the jagged tensors and the blocks stand in."""
    q, k, v = torch.randn(3, sum(LENGTHS), 4, head, generator=torch.Generator().manual_seed(0)).to(dtype).unbind()
    bounds_D1 = torch.tensor([0, *torch.tensor(LENGTHS).cumsum(0)])
    options: dict[str, Any] = {"causal": causal, "reach": reach}
    row = PackedRow(bounds_D1, torch.device("cpu"))
    expected = attend(q.float(), k.float(), v.float(), row, **options)
    there = PackedRow(bounds_D1, torch.device("cuda"))
    found = attend(q.cuda(), k.cuda(), v.cuda(), there, **options).float().cpu()
    torch.testing.assert_close(found, expected, atol=1e-4 if dtype == torch.float32 else 2e-2, rtol=0)


@pytest.mark.parametrize("kind", ["bilm", "masked"])
def test_bfloat16_packs_are_the_documents_alone_in_float32(kind):
    torch.manual_seed(0)
    shape = {"type": kind, "vocab_size": 300, "dim": 64, "heads": 4, "hidden": 128, "layers": [1, 3]}
    encoder = build(shape).eval().requires_grad_(False)
    ids_P, bounds_N1 = pack(LENGTHS)
    ids_T = torch.from_numpy(ids_P)
    expected = torch.cat([encoder(ids_T[a:b], torch.tensor([0, b - a])) for a, b in pairwise(bounds_N1.tolist())])
    found = encoder.to("cuda", torch.bfloat16)(ids_T.cuda(), torch.from_numpy(bounds_N1)).float().cpu()
    assert (found - expected).norm() < 0.02 * expected.norm()


def test_the_row_of_a_pack_does_not_wait_for_the_device(bundle):
    inner = backend(bundle, dtype="bfloat16")
    inner.submit(*pack(LENGTHS)).values()
    torch.cuda.set_sync_debug_mode("error")
    try:
        inner.submit(*pack(LENGTHS))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("compile", [False, True])
def test_values_are_those_of_the_cpu_and_of_windows_alone(bundle, compile):
    cpu = build_backend("torch", [bundle], device="cpu", dtype="float32", threads=1, token_budget=281)
    gpu, (ids_P, bounds_N1) = backend(bundle, compile=compile), pack(LENGTHS)
    expected = cpu.submit(ids_P, bounds_N1).values()
    pending = gpu.submit(ids_P, bounds_N1)
    assert pending.computed == 281
    values_PH = pending.values()
    np.testing.assert_allclose(values_PH, expected, atol=1e-3)
    alone = [gpu.submit(ids_P[a:b], np.array([0, b - a])) for a, b in pairwise(bounds_N1)]
    np.testing.assert_allclose(np.concatenate([one.values() for one in alone]), values_PH, atol=1e-4)


def test_many_packs_in_flight_keep_their_values_and_the_busy_time_grows(bundle):
    gpu = backend(bundle)
    packs = [pack(LENGTHS, seed) for seed in range(20)]
    expected = [gpu.submit(*one).values().copy() for one in packs]
    before = gpu.busy_seconds()
    flying = [gpu.submit(*one) for one in packs]
    for pending, values_PH in zip(flying, expected, strict=True):
        np.testing.assert_allclose(pending.values(), values_PH, atol=1e-6)
    assert 0 < before < gpu.busy_seconds()


def test_a_full_memory_halves_the_budget_and_is_recovered(bundle):
    """The allocator gets so much that a half of the pack fits, and not the whole."""
    gpu, one = Halving(backend(bundle)), pack([64] * 4096)
    gpu.token_budget = len(one[0])
    torch.cuda.reset_peak_memory_stats()
    expected = gpu.submit(*one).values().copy()
    torch.cuda.empty_cache()
    held, most = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(((most - held) * 0.7 + held) / total)
    try:
        np.testing.assert_allclose(gpu.submit(*one).values(), expected, atol=1e-4)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert gpu.out_of_memory >= 1
    assert gpu.token_budget <= len(one[0]) // 2
