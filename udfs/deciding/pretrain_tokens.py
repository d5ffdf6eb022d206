"""Text and forget spans to pretraining tokens and their loss mask, a batch of documents at a time.

Token ids never depend on the spans: the text is tokenized whole, the mask is laid over it afterwards, and `hide`
replaces ids one for one. So runs with and without masks see the same ids at the same places.

One policy's stored scores can be carried over beside them: a token takes the highest score that shares a byte with it.
So a threshold on the carried scores marks exactly the tokens that the spans of that threshold alone would mark
(`udfs.spans.carry.forgotten_tokens`): one export serves every threshold.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokensieve.udfs.deciding.decide_rows import policy_scores
from tokensieve.udfs.deciding.rule import PolicyScores, Rule, decide
from tokensieve.udfs.spans.carry import carriers, forgotten_tokens
from tokensieve.udfs.spans.intervals import Spans, owners
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer, Tokenized

ALWAYS_FORGOTTEN = 255  # in the score companion: another policy forgets the token, whatever the threshold


@dataclass(frozen=True, kw_only=True)
class ScoreCompanion:
    """Which policy's scores are carried along. `others` are the further policies' rules, each with its bundle's
    token threshold: what they forget is forgotten at every threshold."""

    policy: str
    others: dict[str, tuple[Rule, float]]


@dataclass(frozen=True, kw_only=True)
class PretrainTokens:
    """D documents, each ended by eod, T tokens in all."""

    ids_T: np.ndarray  # int32
    loss_mask_T: np.ndarray  # uint8, 1 = take the loss when this token is the label
    lengths_D: np.ndarray  # int64, eod counted
    text_bytes_D: np.ndarray  # int64
    forget_bytes_D: np.ndarray  # int64
    scores_T: np.ndarray | None = (
        None  # uint8 on the grid of `udfs.scores.stored_scores`, 0 for eod; None without a companion
    )


class AlignmentFault(ValueError):
    """A document that the pretraining tokenizer cannot tile; names the document."""


def pretrain_tokens(
    tokenizer: ByteTokenizer,
    batch: pa.RecordBatch,
    hiding: frozenset[str],
    eod: int,
    hidden_id: int,
    companion: ScoreCompanion | None = None,
) -> PretrainTokens:
    """Tokenizes the batch's `text` and lays its `forget_spans` over it.

    Args: `batch` has the columns doc_id, text, forget_spans, and with a companion the score columns of its policies;
    `hiding` names the policies whose spans are hidden; ids of the end-of-document and the hidden token.
    Raises AlignmentFault, ValueError for a span outside its document or for scores of another text.
    """
    tokens = tokenizer.encode(batch.column("text"))  # type: ignore[arg-type]  # a string column
    if tokens.failed:
        row, why = next(iter(tokens.failed.items()))
        raise AlignmentFault(f"document {batch.column('doc_id')[row]}: {why}; use another export.tokenizer")
    byte_bounds_D1 = np.concatenate([[0], np.cumsum(tokens.bytes_T, dtype=np.int64)])[tokens.bounds_D1]
    spans, owner_N, hidden_N = _flat_spans(batch, byte_bounds_D1, hiding)
    forgotten_T = forgotten_tokens(tokens.bytes_T, tokens.bounds_D1, spans)
    ids_T = tokens.ids_T
    if hidden_N.any():
        hide_T = forgotten_tokens(tokens.bytes_T, tokens.bounds_D1, spans.where(hidden_N))
        ids_T = np.where(hide_T, np.int32(hidden_id), ids_T)
    ended = _Ended(tokens.bounds_D1)
    return PretrainTokens(
        ids_T=ended(ids_T, eod),
        loss_mask_T=ended((~forgotten_T).view(np.uint8), 1),
        lengths_D=np.diff(tokens.bounds_D1) + 1,
        text_bytes_D=np.diff(byte_bounds_D1),
        forget_bytes_D=np.bincount(owner_N, spans.end_N - spans.start_N, minlength=batch.num_rows).astype(np.int64),
        scores_T=None if companion is None else ended(_scores(batch, tokens, companion), 0),
    )


def highest_scores(bytes_T: np.ndarray, bounds_D1: np.ndarray, scores: PolicyScores) -> np.ndarray:
    """The highest grid score, uint8 [T], of the classifier tokens that share a byte with each token.

    Args: UTF-8 byte lengths of a batch's T tokens and the documents' bounds in tokens, int64 [D + 1]; the classifier's
    scores of the same documents. A token of no bytes has the score of its `carriers` token, 0 where there is none; a
    classifier token of no bytes counts for nothing.
    Raises ValueError when the two are not of the same bytes; names the first document.
    """
    end_T, end_C = (np.cumsum(lengths, dtype=np.int64) for lengths in (bytes_T, scores.bytes_T))
    _check_bytes(np.concatenate([[0], end_T])[bounds_D1], np.concatenate([[0], end_C])[scores.bounds_D1])
    solid_C = np.flatnonzero(scores.bytes_T)
    if not len(solid_C):
        return np.zeros(len(bytes_T), dtype=np.uint8)
    end_S = end_C[solid_C]
    first_T = np.searchsorted(end_S, end_T - bytes_T, side="right")
    last_T = np.searchsorted(end_S, end_T, side="left")
    # One more element, so that a pair of positions may begin past the last one; only pairs' first results are kept.
    score_S = np.append(scores.scores_T[solid_C], np.uint8(0))
    pairs_T2 = np.stack([np.minimum(first_T, len(end_S)), np.minimum(last_T + 1, len(end_S))], axis=1)
    highest_T = np.maximum.reduceat(score_S, pairs_T2.ravel())[::2] if len(bytes_T) else np.zeros(0, np.uint8)
    highest_T = np.where(np.asarray(bytes_T) > 0, highest_T, np.uint8(0))
    return highest_T[carriers(bytes_T, bounds_D1)]


class _Ended:
    """Puts one value more at the end of every document: T values of D documents become T + D."""

    def __init__(self, bounds_D1: np.ndarray) -> None:
        self._inside_S = np.ones(bounds_D1[-1] + len(bounds_D1) - 1, dtype=bool)
        self._inside_S[bounds_D1[1:] + np.arange(len(bounds_D1) - 1)] = False

    def __call__(self, values_T: np.ndarray, last: int) -> np.ndarray:
        values_S = np.full(len(self._inside_S), last, dtype=values_T.dtype)
        values_S[self._inside_S] = values_T
        return values_S


def _scores(batch: pa.RecordBatch, tokens: Tokenized, companion: ScoreCompanion) -> np.ndarray:
    try:
        highest_T = highest_scores(tokens.bytes_T, tokens.bounds_D1, policy_scores(batch.column(companion.policy)))  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(
            f"documents from {batch.column('doc_id')[0]} on: policy {companion.policy}: {error}; the tables are of "
            "different texts, run `tokensieve score` and `tokensieve mask` again"
        ) from error
    if not companion.others:
        return highest_T
    others = [
        (rule, threshold, policy_scores(batch.column(name)))  # type: ignore[arg-type]
        for name, (rule, threshold) in companion.others.items()
    ]
    always_T = forgotten_tokens(tokens.bytes_T, tokens.bounds_D1, decide(others).spans)
    return np.where(always_T, np.uint8(ALWAYS_FORGOTTEN), highest_T)


def _flat_spans(
    batch: pa.RecordBatch, byte_bounds_D1: np.ndarray, hiding: frozenset[str]
) -> tuple[Spans, np.ndarray, np.ndarray]:
    """The batch's N spans on the axis of its bytes, the document of each, and whether it is hidden."""
    lists = batch.column("forget_spans")
    offsets_D1 = lists.offsets.to_numpy()
    items = lists.values.slice(offsets_D1[0], offsets_D1[-1] - offsets_D1[0])
    start, end, policy = items.flatten()
    owner_N = owners(np.arange(len(items)) + offsets_D1[0], offsets_D1)
    start_N, end_N = (np.asarray(column, dtype=np.int64) for column in (start, end))
    outside = (start_N < 0) | (end_N > np.diff(byte_bounds_D1)[owner_N]) | (start_N >= end_N)
    if outside.any():
        row = int(owner_N[np.argmax(outside)])
        raise ValueError(
            f"document {batch.column('doc_id')[row]}: a forget span leaves its text; the masked table is damaged, "
            "run `tokensieve mask` again"
        )
    base_N = byte_bounds_D1[owner_N]
    hidden_N = pc.call_function("is_in", [policy], pc.SetLookupOptions(pa.array(sorted(hiding), pa.string())))
    spans = Spans(start_N=start_N + base_N, end_N=end_N + base_N)
    return spans, owner_N, np.asarray(hidden_N, dtype=bool)


def _check_bytes(found_D1: np.ndarray, scored_D1: np.ndarray) -> None:
    if not np.array_equal(found_D1, scored_D1):
        wrong_D = np.diff(found_D1) != np.diff(scored_D1)
        d = int(np.argmax(wrong_D))
        raise ValueError(
            f"document {d} of the batch has {np.diff(found_D1)[d]} bytes, its scores are of {np.diff(scored_D1)[d]}"
        )
