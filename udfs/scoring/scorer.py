"""Runs classifier bundles over texts: tokens with byte lengths, one grid score a token, one score a document.

One Scorer lives per Python worker and holds each encoder once. Documents of several batches are packed together, as
many as a look-ahead of tokens holds, so that packs are full; it depends on nothing but the order of the documents, so a
task that runs again computes the same packs. The next pack is handed over before the last one's values are taken.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import pyarrow as pa

from udfs.scoring.backends import BackendName, Pending
from udfs.scoring.forward import Forward, Forwarded
from udfs.scoring.meter import Meter
from udfs.scoring.packing import windows
from udfs.scoring.shared_pass import SharedPass, load_passes
from udfs.tokenizer import Tokenized

TOKEN_BUDGET = {"cpu": 2_048, "cuda": 65_536}
"""Where none is set: what fits a core's cache, and what fills a large GPU."""
LOOK_AHEAD = 16  # packs whose windows are sorted together
IN_FLIGHT = 2  # packs handed to a device before the oldest one's values are waited for

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


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One policy's result for D texts with T tokens in all."""

    bundle_id: str
    tokens: Tokenized
    scores_T: np.ndarray  # uint8 on the logit grid
    document_score_D: np.ndarray  # float32 probability, NaN where a document has no token
    windowed_D: np.ndarray  # bool: longer than one window
    broken_D: np.ndarray  # bool: the classifier gave NaN or infinity


@dataclass(frozen=True, kw_only=True)
class _Group(Generic[Batch]):
    """Batches whose documents are packed together: each with its tokens per pass, and the passes' forwards."""

    batches: list[tuple[Batch, tuple[Tokenized, ...]]]
    forwards: tuple[Forward, ...]


@dataclass(frozen=True, kw_only=True)
class _Flight:
    """A pack on its way through a device."""

    forward: Forward
    pack: np.ndarray
    read: int
    pending: Pending

    def land(self, meter: Meter) -> None:
        self.forward.take(self.pack, self.pending.values())
        meter.landed(read=self.read, computed=self.pending.computed)


class Scorer:
    """Scores batches of texts under every policy of the settings.

    Raises ValueError when a bundle on this machine is not the one that the job was planned with, or a setting does not
    fit this machine; ImportError naming the extra that a back end lacks.
    """

    def __init__(self, settings: ScorerSettings) -> None:
        import torch

        self.settings = settings
        self.device = _device(settings.device)
        kind = self.device.partition(":")[0]
        if kind == "cpu":
            torch.set_num_threads(settings.threads)
        self.token_budget = settings.token_budget or TOKEN_BUDGET[kind]
        self.passes = load_passes(
            settings.bundles,
            "torch" if settings.backend == "auto" else settings.backend,
            device=self.device,
            dtype=_dtype(settings.dtype, kind),
            threads=settings.threads,
            token_budget=self.token_budget,
        )

    def __call__(self, texts: Sequence[str]) -> dict[str, Scored]:
        """Scores D texts; returns one Scored per policy."""
        ((_, scored),) = self.scored([(None, self.tokenized(texts))], Meter())
        return scored

    def tokenized(self, texts: "Sequence[str] | pa.Array") -> tuple[Tokenized, ...]:
        """The texts' tokens for every pass."""
        return tuple(shared.tokenizer.encode(texts) for shared in self.passes)

    def scored(
        self, batches: Iterable[tuple[Batch, tuple[Tokenized, ...]]], meter: Meter
    ) -> Iterator[tuple[Batch, dict[str, Scored]]]:
        """Every batch as it came with one Scored per policy; a batch without tokens per pass, `()`, passes by as it is.

        `meter` counts what is handed to the device.
        """
        busy_before = self._busy_seconds()
        for group in self._computed(self._groups(batches), meter):
            meter.busy_s = self._busy_seconds() - busy_before
            meter.token_budget = min(shared.backend.token_budget for shared in self.passes)
            meter.out_of_memory = sum(shared.backend.out_of_memory for shared in self.passes)
            yield from self._by_batch(group)

    def _busy_seconds(self) -> float:
        return sum(shared.backend.busy_seconds() for shared in self.passes)

    def _groups(self, batches: Iterable[tuple[Batch, tuple[Tokenized, ...]]]) -> "Iterator[_Group[Batch]]":
        gathered: list[tuple[Batch, tuple[Tokenized, ...]]] = []
        tokens = 0
        for batch, by_pass in batches:
            gathered.append((batch, by_pass))
            tokens += max((len(one.ids_T) for one in by_pass), default=0)
            if tokens >= LOOK_AHEAD * self.token_budget:
                yield self._group(gathered)
                gathered, tokens = [], 0
        if gathered:
            yield self._group(gathered)

    def _group(self, batches: list[tuple[Batch, tuple[Tokenized, ...]]]) -> "_Group[Batch]":
        by_batch = [by_pass for _, by_pass in batches if by_pass]
        forwards = [
            _forward(shared, [by_pass[at] for by_pass in by_batch])
            for at, shared in enumerate(self.passes if by_batch else ())
        ]
        return _Group(batches=batches, forwards=tuple(forwards))

    def _computed(self, groups: "Iterable[_Group[Batch]]", meter: Meter) -> "Iterator[_Group[Batch]]":
        """The groups in their order, each once all of its packs have landed."""
        flying: deque[_Flight | _Group[Batch]] = deque()
        for group in groups:
            for shared, forward in zip(self.passes, group.forwards):
                for pack, ids_P, bounds_N1 in forward.packs(shared.backend.token_budget):
                    meter.start()
                    pending = shared.backend.submit(ids_P, bounds_N1)
                    flying.append(_Flight(forward=forward, pack=pack, read=len(ids_P), pending=pending))
                    yield from _land(flying, IN_FLIGHT, meter)
            flying.append(group)
        yield from _land(flying, 0, meter)

    def _by_batch(self, group: "_Group[Batch]") -> Iterator[tuple[Batch, dict[str, Scored]]]:
        found = [forward.forwarded() for forward in group.forwards]
        document, token = 0, [0] * len(found)
        for batch, by_pass in group.batches:
            scored: dict[str, Scored] = {}
            for at, tokens in enumerate(by_pass):
                scored |= _scored(self.passes[at], tokens, found[at], document, token[at])
                token[at] += len(tokens.ids_T)
            document += len(by_pass[0].bounds_D1) - 1 if by_pass else 0
            yield batch, scored


@lru_cache(maxsize=2)
def worker_scorer(settings: ScorerSettings) -> Scorer:
    """The Scorer of this Python worker: loaded by its first task, reused by all later ones."""
    return Scorer(settings)


def cuda_name() -> str | None:
    """The CUDA device that a task on this machine would score on, None without one. ImportError without torch."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _land(flying: "deque[_Flight | _Group[Any]]", most: int, meter: Meter) -> "Iterator[_Group[Any]]":
    """Takes the oldest flights' values until at most so many fly; yields the groups that this completes."""
    while len(flying) > most:
        oldest = flying.popleft()
        if isinstance(oldest, _Group):
            yield oldest
        else:
            oldest.land(meter)


def _forward(shared: SharedPass, batches: list[Tokenized]) -> Forward:
    """The packs of several batches' documents, end to end."""
    starts = np.cumsum([0, *(len(one.ids_T) for one in batches)])
    bounds_D1 = np.concatenate([np.zeros(1, np.int64), *(one.bounds_D1[1:] + at for one, at in zip(batches, starts))])
    ids_T = batches[0].ids_T if len(batches) == 1 else np.concatenate([one.ids_T for one in batches])
    cut = windows(np.diff(bounds_D1), shared.bundle.spec.window, shared.bundle.spec.margin)
    return Forward(ids_T, bounds_D1, cut, len(shared.policies))


def _scored(shared: SharedPass, tokens: Tokenized, found: Forwarded, document: int, token: int) -> dict[str, Scored]:
    """One batch's part of its group's result, which begins at that document and token."""
    documents = slice(document, document + len(tokens.bounds_D1) - 1)
    return {
        policy: Scored(
            bundle_id=bundle_id,
            tokens=tokens,
            scores_T=found.scores_PT[at, token : token + len(tokens.ids_T)],
            document_score_D=_sigmoid(found.document_logits_PD[at, documents]),
            windowed_D=np.diff(tokens.bounds_D1) > shared.bundle.spec.window,
            broken_D=found.broken_PD[at, documents],
        )
        for at, (policy, bundle_id) in enumerate(shared.policies)
    }


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if cuda_name() else "cpu"
    if name.startswith("cuda") and not cuda_name():
        raise ValueError(f"score.device={name}, but torch sees no CUDA device here; use score.device=auto or cpu")
    return name


def _dtype(name: str, kind: str) -> str:
    """float32 on a CPU unless bfloat16 is asked for: it pays only on cores that multiply it (AVX512-BF16, AMX)."""
    return {"cuda": "bfloat16", "cpu": "float32"}[kind] if name == "auto" else name


def _sigmoid(logits_D: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-np.clip(logits_D, -60, 60)))).astype(np.float32)
