"""Runs classifier bundles over texts: tokens with byte lengths, one grid score a token, one score a document.

One Scorer lives per Python worker and holds each encoder once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar

import pyarrow as pa

from tokensieve.udfs.scoring.backends.backend import BackendName
from tokensieve.udfs.scoring.batch_group import Request, Scored, groups
from tokensieve.udfs.scoring.cascade import Cascade
from tokensieve.udfs.scoring.compute import Computing
from tokensieve.udfs.scoring.meter import Meter
from tokensieve.udfs.scoring.shared_pass import load_passes
from tokensieve.udfs.tokenizing.tokenizer import Tokenized

TOKEN_BUDGET = {"cpu": 2_048, "cuda": 65_536}
"""Where none is set: what fits a core's cache, and what fills a large GPU."""
LOOK_AHEAD = 16  # packs whose windows are sorted together

Batch = TypeVar("Batch")


@dataclass(frozen=True, kw_only=True)
class ScorerSettings:
    """What decides how, not what, is computed. `bundles`: (policy, reference, expected bundle id)."""

    bundles: tuple[tuple[str, str, str], ...]
    backend: BackendName | Literal["auto"] = "auto"
    device: str = "auto"  # auto, cpu, cuda or cuda:N
    dtype: str = "auto"  # auto, float32, bfloat16
    token_budget: int | None = None  # None: TOKEN_BUDGET of the device
    threads: int = 1
    cascade: Cascade | None = None


class Scorer:
    """Scores batches of texts under every policy of the settings.

    Raises ValueError when a bundle on this machine is not the one that the job was planned with, or a setting does not
    fit this machine; ImportError without torch.
    """

    def __init__(self, settings: ScorerSettings) -> None:
        self.settings = settings
        self.device = _device(settings.device)
        kind = self.device.partition(":")[0]
        self.token_budget = settings.token_budget or TOKEN_BUDGET[kind]
        self.passes = load_passes(
            settings.bundles,
            "torch" if settings.backend == "auto" else settings.backend,
            device=self.device,
            dtype=_dtype(settings.dtype, kind),
            threads=settings.threads,
            token_budget=self.token_budget,
        )

    def __call__(self, texts: "Sequence[str] | pa.Array") -> dict[str, Scored]:
        """Scores D texts; returns one Scored per policy."""
        ((_, scored),) = self.scored([Request(batch=None, tokens=self.tokenized(texts))], Meter())
        return scored

    def tokenized(self, texts: "Sequence[str] | pa.Array") -> tuple[Tokenized, ...]:
        """The texts' tokens for every pass."""
        return tuple(shared.tokenizer.encode(texts) for shared in self.passes)

    def scored(
        self, requests: Iterable[Request[Batch]], meter: Meter
    ) -> Iterator[tuple[Request[Batch], dict[str, Scored]]]:
        """Every request in its order, with one Scored per policy if it has tokens.

        Documents are packed across requests, as many as LOOK_AHEAD packs hold. `meter` counts what is computed.
        """
        busy_before, failed_before = self._busy_seconds(), self._out_of_memory()
        meter.busy = lambda: self._busy_seconds() - busy_before
        gathered = groups(requests, self.passes, LOOK_AHEAD * self.token_budget)
        for group in Computing(self.settings.cascade, meter).run(gathered):
            meter.token_budget = min(shared.backend.token_budget for shared in self.passes)
            meter.out_of_memory = self._out_of_memory() - failed_before
            for request, scored in group.by_batch():
                meter.tokens += len(request.tokens[0].ids_T) if request.tokens else 0
                yield request, scored

    def _busy_seconds(self) -> float:
        return sum(shared.backend.busy_seconds() for shared in self.passes)

    def _out_of_memory(self) -> int:
        return sum(shared.backend.out_of_memory for shared in self.passes)


@lru_cache(maxsize=2)
def worker_scorer(settings: ScorerSettings) -> Scorer:
    """The Scorer of this Python worker: loaded by its first task, reused by all later ones."""
    return Scorer(settings)


def cuda_name() -> str | None:
    """The CUDA device that a task on this machine would score on, None without one. ImportError without torch."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if cuda_name() else "cpu"
    if name.startswith("cuda") and not cuda_name():
        raise ValueError(f"score.device={name}, but torch sees no CUDA device here; use score.device=auto or cpu")
    return name


def _dtype(name: str, kind: str) -> str:
    """float32 on a CPU unless bfloat16 is asked for: it pays only on cores that multiply it (AVX512-BF16, AMX)."""
    return {"cuda": "bfloat16", "cpu": "float32"}[kind] if name == "auto" else name
