"""Text and forget spans to pretraining tokens and their loss mask, a batch of documents at a time.

Token ids never depend on the spans: the text is tokenized whole, the mask is laid over it afterwards, and `hide`
replaces ids one for one. So runs with and without masks see the same ids at the same places.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from udfs.project import forgotten_tokens
from udfs.spans import Spans, owners
from udfs.tokenizer import ByteTokenizer, Tokenized


@dataclass(frozen=True, kw_only=True)
class PretrainTokens:
    """D documents, each ended by eod, T tokens in all."""

    ids_T: np.ndarray  # int32
    loss_mask_T: np.ndarray  # uint8, 1 = take the loss when this token is the label
    lengths_D: np.ndarray  # int64, eod counted


class AlignmentFault(ValueError):
    """A document that the pretraining tokenizer cannot tile; names the document."""


def pretrain_tokens(
    tokenizer: ByteTokenizer, batch: pa.RecordBatch, hiding: frozenset[str], eod: int, hidden_id: int
) -> PretrainTokens:
    """Tokenizes the batch's `text` and lays its `forget_spans` over it.

    Args: `batch` has the columns doc_id, text, forget_spans; `hiding` names the policies whose spans are hidden;
    ids of the end-of-document and the hidden token.
    Raises AlignmentFault, ValueError for a span outside its document.
    """
    tokens = tokenizer.encode(batch.column("text").to_pylist())
    if tokens.failed:
        row, why = next(iter(tokens.failed.items()))
        raise AlignmentFault(f"document {batch.column('doc_id')[row]}: {why}; use another export.tokenizer")
    spans, policies = _flat_spans(batch, tokens)
    forgotten_T = forgotten_tokens(tokens.bytes_T, tokens.bounds_D1, spans)
    hidden_N = np.isin(policies, list(hiding))
    hide_T = forgotten_tokens(tokens.bytes_T, tokens.bounds_D1, spans.where(hidden_N))
    ids_T = np.where(hide_T, hidden_id, tokens.ids_T)
    ends_D = tokens.bounds_D1[1:]
    return PretrainTokens(
        ids_T=np.insert(ids_T, ends_D, eod).astype(np.int32),
        loss_mask_T=np.insert((~forgotten_T).astype(np.uint8), ends_D, 1),
        lengths_D=np.diff(tokens.bounds_D1) + 1,
    )


def _flat_spans(batch: pa.RecordBatch, tokens: Tokenized) -> tuple[Spans, np.ndarray]:
    """The batch's spans on the axis of its bytes, and the policy's name of each."""
    lists = batch.column("forget_spans")
    offsets_D1 = lists.offsets.to_numpy()
    items = lists.values.slice(offsets_D1[0], offsets_D1[-1] - offsets_D1[0])
    start, end, policy = items.flatten()
    owner_N = owners(np.arange(len(items)) + offsets_D1[0], offsets_D1)
    byte_bounds_D1 = np.concatenate([[0], np.cumsum(tokens.bytes_T, dtype=np.int64)])[tokens.bounds_D1]
    start_N, end_N = (np.asarray(column, dtype=np.int64) for column in (start, end))
    outside = (start_N < 0) | (end_N > np.diff(byte_bounds_D1)[owner_N]) | (start_N >= end_N)
    if outside.any():
        row = int(owner_N[np.argmax(outside)])
        raise ValueError(
            f"document {batch.column('doc_id')[row]}: a forget span leaves its text; the masked table is damaged, "
            "run `tokensieve mask` again"
        )
    base_N = byte_bounds_D1[owner_N]
    return Spans(start_N=start_N + base_N, end_N=end_N + base_N), np.asarray(policy.to_pylist(), dtype=object)
