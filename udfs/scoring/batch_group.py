"""Documents of several batches that are packed together, where the values of their packs go, and their way back.

Without it the last pack of every batch would be partly empty. What is gathered depends on nothing but the order of the
documents, so a task that runs again computes the same packs. A group goes through each encoder once; values are put on
the logit grid as they come back and summed per document, so that what is kept of a token is one byte a policy, however
long a document is. At the end each batch gets its own documents' results.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from tokensieve.udfs.packing.windows import Windows, gather, kept, packs, scatter
from tokensieve.udfs.scores.stored_scores import quantize_logits
from tokensieve.udfs.scoring.shared_pass import SharedPass
from tokensieve.udfs.tokenizing.tokenizer import Tokenized

Batch = TypeVar("Batch")


@dataclass(frozen=True, kw_only=True)
class Request(Generic[Batch]):
    """A batch of texts on its way in: their tokens for every pass, none for a batch that passes by as it is.

    `full_D`: documents that are scanned whatever a cascade's probe says; None for none.
    """

    batch: Batch
    tokens: tuple[Tokenized, ...] = ()
    full_D: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One policy's result for D texts with T tokens in all."""

    bundle_id: str
    tokens: Tokenized
    scores_T: np.ndarray  # uint8 on the logit grid
    document_score_D: np.ndarray  # float32 probability, NaN where a document has no token
    windowed_D: np.ndarray  # bool: longer than one window
    broken_D: np.ndarray  # bool: the classifier gave NaN or infinity
    probe_D: np.ndarray  # float32: the cascade's probe, NaN where there was none
    skipped_D: np.ndarray  # bool: the cascade did not look further, scores beyond its stretches are 0


class Forward:
    """Windows of D documents, ids_T int32 [T] and bounds_D1 int64 [D + 1], under P policies.

    Several sets of windows may follow one another; what a later one says of a document replaces the earlier.

    Attributes:
        scores_PT: uint8 on the logit grid, 0 where no value was taken.
        broken_PD: bool, NaN or infinity among the values.
    """

    def __init__(self, ids_T: np.ndarray, bounds_D1: np.ndarray, policies: int) -> None:
        self.ids_T, self.bounds_D1 = ids_T, bounds_D1
        documents = len(bounds_D1) - 1
        self.scores_PT = np.zeros((policies, len(ids_T)), dtype=np.uint8)
        self._sums_PD = np.zeros((policies, documents))
        self.broken_PD = np.zeros((policies, documents), dtype=bool)
        self._kept_D = np.zeros(documents)
        self._cut: Windows | None = None

    @property
    def lengths_D(self) -> np.ndarray:
        """Tokens of every document."""
        return np.diff(self.bounds_D1)

    @property
    def document_logits_PD(self) -> np.ndarray:
        """float64 means over the tokens that were read, NaN where none was."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self._sums_PD / self._kept_D

    def packs(self, cut: Windows, token_budget: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Begins with these windows: those (indices) of every pack, and what a back end reads, as in `gather`."""
        documents = np.unique(cut.doc_W)
        self._cut = cut
        self._sums_PD[:, documents] = 0
        self.broken_PD[:, documents] = False
        kept_D = np.bincount(cut.doc_W, cut.keep_stop_W - cut.keep_start_W, len(self.bounds_D1) - 1)
        self._kept_D = np.where(kept_D, kept_D, self._kept_D)
        for pack in packs(cut.lengths_W, token_budget):
            yield pack, *gather(self.ids_T, self.bounds_D1, cut, pack)

    def take(self, pack: np.ndarray, values_PH: np.ndarray) -> None:
        """Puts a pack's values, float32 [P, 2 * policies], in their places."""
        assert self._cut is not None
        cut = self._cut
        from_P, lengths_N = kept(cut, pack)
        values_KH = values_PH[from_P]
        finite_KH = np.isfinite(values_KH)
        values_KH = np.where(finite_KH, values_KH, 0)
        doc_N, first_N = cut.doc_W[pack], np.cumsum(lengths_N) - lengths_N
        for policy in range(len(self.scores_PT)):
            token, document = 2 * policy, 2 * policy + 1
            scatter(quantize_logits(values_KH[:, token]), self.bounds_D1, cut, pack, self.scores_PT[policy])
            sums_N = np.add.reduceat(values_KH[:, document].astype(np.float64), first_N)
            np.add.at(self._sums_PD[policy], doc_N, sums_N)
            fine_N = np.logical_and.reduceat(finite_KH[:, token] & finite_KH[:, document], first_N)
            np.logical_or.at(self.broken_PD[policy], doc_N, ~fine_N)


@dataclass(kw_only=True)
class PassResult:
    """What a pass says of a group's D documents, for its P policies."""

    forward: Forward
    probe_PD: np.ndarray = field(init=False)  # float32, NaN where there was no probe
    scanned_D: np.ndarray = field(init=False)  # bool

    def __post_init__(self) -> None:
        policies, documents = len(self.forward.scores_PT), len(self.forward.lengths_D)
        self.probe_PD = np.full((policies, documents), np.nan, dtype=np.float32)
        self.scanned_D = np.ones(documents, dtype=bool)


class Group(Generic[Batch]):
    """Requests whose documents are packed together; `results` holds one per pass, none without any tokens."""

    def __init__(self, requests: list[Request[Batch]], passes: Sequence[SharedPass]) -> None:
        self.requests = requests
        self.passes = passes
        with_tokens = [request.tokens for request in requests if request.tokens]
        self.results = [
            PassResult(forward=_end_to_end([tokens[at] for tokens in with_tokens], len(shared.policies)))
            for at, shared in enumerate(passes if with_tokens else ())
        ]

    def full_D(self) -> np.ndarray:
        """bool: documents of all requests that are scanned in any case."""
        parts = [
            np.zeros(_documents(one), dtype=bool) if one.full_D is None else one.full_D
            for one in self.requests
            if one.tokens
        ]
        return np.concatenate(parts)

    def by_batch(self) -> Iterator[tuple[Request[Batch], dict[str, Scored]]]:
        """The requests in their order, each with one Scored per policy if it has tokens."""
        document, token = 0, [0] * len(self.results)
        for request in self.requests:
            scored: dict[str, Scored] = {}
            for at, tokens in enumerate(request.tokens):
                scored |= _scored(self.passes[at], tokens, self.results[at], document, token[at])
                token[at] += len(tokens.ids_T)
            document += _documents(request)
            yield request, scored


def groups(requests: Iterable[Request[Batch]], passes: Sequence[SharedPass], look_ahead: int) -> Iterator[Group[Batch]]:
    """Gathers requests until they hold `look_ahead` tokens; the last group may hold fewer."""
    gathered: list[Request[Batch]] = []
    tokens = 0
    for request in requests:
        gathered.append(request)
        tokens += max((len(one.ids_T) for one in request.tokens), default=0)
        if tokens >= look_ahead:
            yield Group(gathered, passes)
            gathered, tokens = [], 0
    if gathered:
        yield Group(gathered, passes)


def _documents(request: Request[Batch]) -> int:
    return len(request.tokens[0].bounds_D1) - 1 if request.tokens else 0


def _end_to_end(batches: list[Tokenized], policies: int) -> Forward:
    if len(batches) == 1:
        return Forward(batches[0].ids_T, batches[0].bounds_D1, policies)
    starts = np.cumsum([0, *(len(one.ids_T) for one in batches)])
    bounds_D1 = np.concatenate([np.zeros(1, np.int64), *(one.bounds_D1[1:] + at for one, at in zip(batches, starts))])
    return Forward(np.concatenate([one.ids_T for one in batches]), bounds_D1, policies)


def _scored(shared: SharedPass, tokens: Tokenized, result: PassResult, document: int, token: int) -> dict[str, Scored]:
    """One request's part of its group's result, which begins at that document and token."""
    documents = slice(document, document + len(tokens.bounds_D1) - 1)
    forward = result.forward
    return {
        policy: Scored(
            bundle_id=bundle_id,
            tokens=tokens,
            scores_T=forward.scores_PT[at, token : token + len(tokens.ids_T)],
            document_score_D=_sigmoid(forward.document_logits_PD[at, documents]),
            windowed_D=np.diff(tokens.bounds_D1) > shared.bundle.spec.window,
            broken_D=forward.broken_PD[at, documents],
            probe_D=result.probe_PD[at, documents],
            skipped_D=~result.scanned_D[documents],
        )
        for at, (policy, bundle_id) in enumerate(shared.policies)
    }


def _sigmoid(logits_D: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-np.clip(logits_D, -60, 60)))).astype(np.float32)
