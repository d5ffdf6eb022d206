"""Tokens/s of scoring on one GPU, without Spark or Java: the paper's 224M biLM, its weights random, in bfloat16.

Bare packs at several token budgets, plain and compiled, then whole texts through the scorer's own pipeline (tokenizer
included), beside the matrix peak of the same card in the same run. `--device cpu --small` runs the script with a tiny
shape, to see that it works; its figures say nothing.
"""

import argparse
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from tests.bench.report import hardware, median, save, table
from tests.bench.scoring.gpu_plan import MARGIN, WINDOW, Plan, make_bundle, paper, small, texts
from tokensieve.udfs.bundles.bundle import Bundle
from tokensieve.udfs.packing.windows import gather, packs, windows
from tokensieve.udfs.scoring.backends.backend import Backend, Pending
from tokensieve.udfs.scoring.batch_group import Request
from tokensieve.udfs.scoring.meter import Meter
from tokensieve.udfs.scoring.run_ahead import ahead
from tokensieve.udfs.scoring.scorer import Scorer, ScorerSettings
from tokensieve.udfs.scoring.shared_pass import build_backend

BATCH_ROWS = 500
IN_FLIGHT = 2  # as the scorer's


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Tokens that the windows hold, seconds on the clock, seconds of them in which the device computed."""

    tokens: int
    flops: float
    wall_s: float
    busy_s: float


def gemm_peak(plan: Plan) -> float:
    """FLOP/s of one large square matrix product in the plan's dtype, the best of ten."""
    a, b = (
        torch.randn(plan.peak_size, plan.peak_size, device=plan.device).to(getattr(torch, plan.dtype)) for _ in "ab"
    )
    seconds = []
    for _ in range(13):
        began = clock(plan.device)
        torch.mm(a, b)
        seconds.append(clock(plan.device) - began)
    return 2 * plan.peak_size**3 / min(seconds[3:])


def clock(device: str) -> float:
    """Seconds, after the device has done what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()


def bare(plan: Plan, backend: Backend, lengths_D: np.ndarray, budget: int) -> list[Rate]:
    """Random ids in windows of the true lengths, packed beforehand; the first round warms up and does not count."""
    cut = windows(lengths_D, WINDOW, MARGIN)
    bounds_D1 = np.concatenate([[0], np.cumsum(lengths_D)])
    ids_T = np.random.default_rng(0).integers(0, plan.vocab_size, bounds_D1[-1])
    ready = [gather(ids_T, bounds_D1, cut, pack) for pack in packs(cut.lengths_W, budget)]
    rates = []
    for _ in range(plan.rounds + 1):
        flying: deque[Pending] = deque()
        busy, began = backend.busy_seconds(), clock(plan.device)
        for ids_P, bounds_N1 in ready:
            flying.append(backend.submit(ids_P, bounds_N1))
            if len(flying) > IN_FLIGHT:
                flying.popleft().values()
        for pending in flying:
            pending.values()
        wall = clock(plan.device) - began
        tokens = int(cut.lengths_W.sum())
        busy = backend.busy_seconds() - busy
        rates.append(Rate(tokens=tokens, flops=plan.flops(cut.lengths_W), wall_s=wall, busy_s=busy))
    return rates[1:]


def whole(plan: Plan, bundle: Bundle, documents: Sequence[str], *, backend: Any, budget: int) -> list[Rate]:
    """Texts through tokenizer, packs and codecs, each ahead of the next; the first round warms up."""
    scorer = Scorer(
        ScorerSettings(
            bundles=(("bench", str(bundle.path), bundle.bundle_id),),
            backend=backend,
            device=plan.device,
            dtype=plan.dtype,
            token_budget=budget,
        )
    )
    rates = []
    for _ in range(plan.rounds + 1):
        meter, began, lengths = Meter(), clock(plan.device), []
        for request, _ in scorer.scored(ahead(requests(scorer, documents), 2), meter):
            lengths.append(np.diff(request.tokens[0].bounds_D1))
        wall, reading = clock(plan.device) - began, meter.reading()
        cut = windows(np.concatenate(lengths), WINDOW, MARGIN)
        flops = plan.flops(cut.lengths_W)
        rates.append(Rate(tokens=int(cut.lengths_W.sum()), flops=flops, wall_s=wall, busy_s=reading.busy_s))
    return rates[1:]


def requests(scorer: Scorer, documents: Sequence[str]) -> Iterator[Request[None]]:
    """Batches of the documents, tokenized when they are asked for."""
    for first in range(0, len(documents), BATCH_ROWS):
        column = pa.array(documents[first : first + BATCH_ROWS])
        yield Request(batch=None, tokens=scorer.tokenized(column))


def lengths(bundle: Bundle, documents: Sequence[str], tokens: int) -> np.ndarray:
    """Tokens of the first documents, up to so many in all but one document at least."""
    lengths_D = np.diff(bundle.tokenizer().encode(documents[:1000]).bounds_D1)
    return lengths_D[: max(1, int(np.searchsorted(np.cumsum(lengths_D), tokens)))]


def measure(plan: Plan, folder: Path, compiled: bool) -> tuple[dict[str, list[Rate]], str]:
    """Every way to score, by its name, and what the documents are."""
    documents, what = texts(plan.text_tokens)
    bundle = make_bundle(folder, plan, documents)
    lengths_D = lengths(bundle, documents, plan.bare_tokens)
    documents = documents[: max(1, plan.text_tokens * len(lengths_D) // int(lengths_D.sum()))]
    found: dict[str, list[Rate]] = {}
    for name in ("torch", "compile") if compiled else ("torch",):
        for budget in plan.budgets:
            made = build_backend(name, [bundle], device=plan.device, dtype=plan.dtype, threads=1, token_budget=budget)
            found[f"packs, {name}, {budget:,} tokens"] = bare(plan, made, lengths_D, budget)
            if made.out_of_memory:
                print(f"{name}: {made.out_of_memory} times out of memory, budget now {made.token_budget:,}")
            del made
        best = max(plan.budgets, key=lambda at: speed(found[f"packs, {name}, {at:,} tokens"]))
        found[f"texts, {name}, {best:,} tokens"] = whole(plan, bundle, documents, backend=name, budget=best)
    return found, what


def speed(rates: Sequence[Rate]) -> float:
    """Tokens of windows a second, the median of the rounds."""
    return median([rate.tokens / rate.wall_s for rate in rates])


def main() -> None:
    """Runs the bench, prints a table and writes out/bench/gpu_score.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--small", action="store_true", help="a tiny shape, to see that the script runs")
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile, which takes a while")
    given = parser.parse_args()
    if given.device != "cpu" and not torch.cuda.is_available():
        print("skipped: no CUDA")
        return
    torch.set_num_threads(1)
    machine, plan = hardware(), (small if given.small else paper)(given.device)
    peak = gemm_peak(plan)
    with tempfile.TemporaryDirectory() as folder:
        found, what = measure(plan, Path(folder), not given.no_compile)
    print(f"{machine}; {what}; matrix peak {peak / 1e12:,.3g} TFLOP/s of {plan.dtype}")
    ratios, rows = {"gemm_peak_tflops": peak / 1e12}, []
    for way, rates in found.items():
        share = median([rate.flops / rate.wall_s for rate in rates]) / peak
        idle = median([max(0.0, 1 - rate.busy_s / rate.wall_s) for rate in rates])
        rows.append([way, speed(rates), share, idle])
        ratios |= {f"tokens_per_s: {way}": speed(rates), f"gemm_share: {way}": share, f"idle: {way}": idle}
    print(table(["what", "tokens/s", "share of the matrix peak", "idle"], rows))
    runs = {way: [asdict(rate) for rate in rates] for way, rates in found.items()}
    name = "gpu_score_small" if given.small else "gpu_score"
    print(save(name, ratios, machine, {"plan": asdict(plan), "documents": what, "rates": runs}))


if __name__ == "__main__":
    main()
