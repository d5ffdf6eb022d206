"""Runs classifier bundles over texts: tokens with byte lengths, one grid score a token, one score a document.

One Scorer lives per Python worker and holds each encoder once: policies whose bundles share an encoder share its
pass. Packs are filled to a token budget, longest windows first, so memory does not depend on the documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from udfs.bundle import Bundle, resolve
from udfs.scores import quantize_logits
from udfs.scoring.packed_forward import token_values
from udfs.tokenizer import ByteTokenizer, Tokenized

if TYPE_CHECKING:
    import torch

    from udfs.heads import ManyHeads


@dataclass(frozen=True, kw_only=True)
class ScorerSettings:
    """What decides how, not what, is computed. `bundles` maps a policy to (reference, expected bundle id)."""

    bundles: tuple[tuple[str, str, str], ...]  # (policy, reference, bundle_id)
    device: str  # auto, cpu, cuda
    dtype: str  # auto, float32, bfloat16
    token_budget: int
    threads: int


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
class _Pass:
    """One encoder and the heads of all P policies that share it, two values a token each."""

    bundle: Bundle
    policies: tuple[tuple[str, str], ...]  # (policy, bundle_id)
    tokenizer: ByteTokenizer
    encoder: Any
    heads: "ManyHeads"


class Scorer:
    """Scores batches of texts under every policy of the settings.

    Raises ValueError when a bundle on this machine is not the one that the job was planned with.
    """

    def __init__(self, settings: ScorerSettings) -> None:
        import torch

        self.settings = settings
        self.device = _device(settings.device)
        if self.device == "cpu":
            torch.set_num_threads(settings.threads)
        self.dtype = _dtype(settings.dtype, self.device)
        self._passes = self._load()

    def __call__(self, texts: Sequence[str]) -> dict[str, Scored]:
        """Scores D texts; returns one Scored per policy. Texts must be encodable as UTF-8."""
        results: dict[str, Scored] = {}
        for shared in self._passes:
            results |= self._score(shared, texts)
        return results

    def _load(self) -> list[_Pass]:
        groups: dict[str, list[tuple[str, Bundle]]] = {}
        for policy, reference, bundle_id in self.settings.bundles:
            bundle = Bundle.load(resolve(reference))
            if bundle.bundle_id != bundle_id:
                raise ValueError(
                    f"policy {policy}: bundle {reference} is {bundle.bundle_id} on this machine, but the job was "
                    f"planned with {bundle_id}; install the same bundle on every node"
                )
            groups.setdefault(bundle.encoder_id, []).append((policy, bundle))
        return [self._load_pass(members) for members in groups.values()]

    def _load_pass(self, members: list[tuple[str, Bundle]]) -> _Pass:
        from udfs.heads import ManyHeads

        first = members[0][1]
        return _Pass(
            bundle=first,
            policies=tuple((policy, bundle.bundle_id) for policy, bundle in members),
            tokenizer=first.tokenizer(),
            encoder=first.encoder(self.device, self.dtype),
            heads=ManyHeads([bundle.heads(self.device) for _, bundle in members]),
        )

    def _score(self, shared: _Pass, texts: Sequence[str]) -> dict[str, Scored]:
        tokens = shared.tokenizer.encode(texts)
        values_TH = self._head_values(shared, tokens)
        lengths_D = np.diff(tokens.bounds_D1)
        results = {}
        for at, (policy, bundle_id) in enumerate(shared.policies):
            token_logits_T = values_TH[:, 2 * at]
            document_logits_D = _means(values_TH[:, 2 * at + 1], tokens.bounds_D1)
            finite_T = np.isfinite(values_TH[:, 2 * at]) & np.isfinite(values_TH[:, 2 * at + 1])
            results[policy] = Scored(
                bundle_id=bundle_id,
                tokens=tokens,
                scores_T=quantize_logits(np.where(finite_T, token_logits_T, 0)),
                document_score_D=_sigmoid(document_logits_D),
                windowed_D=lengths_D > shared.bundle.spec.window,
                broken_D=_sums(~finite_T, tokens.bounds_D1) > 0,
            )
        return results

    def _head_values(self, shared: _Pass, tokens: Tokenized) -> np.ndarray:
        """What every head says of every token, biases included: float32 [T, 2P]."""
        spec = shared.bundle.spec
        return token_values(
            lambda ids_P, bounds_N1: shared.heads(shared.encoder(ids_P, bounds_N1)),
            tokens,
            2 * len(shared.policies),
            window=spec.window,
            margin=spec.margin,
            token_budget=self.settings.token_budget,
            device=self.device,
        )


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
    if name == "cuda" and not cuda_name():
        raise ValueError("score.device=cuda, but torch sees no CUDA device here; use score.device=auto or cpu")
    return name


def _dtype(name: str, device: str) -> "torch.dtype":
    import torch

    if name == "auto":
        name = "bfloat16" if device == "cuda" else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def _sums(values_T: np.ndarray, bounds_D1: np.ndarray) -> np.ndarray:
    total_T1 = np.concatenate([[0], np.cumsum(values_T, dtype=np.float64)])
    return total_T1[bounds_D1[1:]] - total_T1[bounds_D1[:-1]]


def _means(values_T: np.ndarray, bounds_D1: np.ndarray) -> np.ndarray:
    """Mean per document, float64 [D]; NaN for an empty one, and for one with a value that is not finite."""
    finite_T = np.where(np.isfinite(values_T), values_T, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _sums(finite_T, bounds_D1) / np.diff(bounds_D1)


def _sigmoid(logits_D: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-np.clip(logits_D, -60, 60)))).astype(np.float32)
