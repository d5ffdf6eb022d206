"""The masking stage inside an executor: stored score columns in, forget spans and actions out. No text, no model."""

import numpy as np
import pyarrow as pa

from tokensieve.udfs.deciding.rule import ACTIONS, Decision, PolicyScores, Rule, decide
from tokensieve.udfs.scores.stored_scores import decode_lengths, flat_bytes
from tokensieve.udfs.spans.intervals import owners

SPAN_TYPE = pa.struct([pa.field("start", pa.int32()), pa.field("end", pa.int32()), pa.field("policy", pa.string())])
DECISION_TYPE = pa.struct(
    [
        pa.field("forget_spans", pa.list_(SPAN_TYPE)),
        pa.field("action", pa.string()),
        pa.field("forget_bytes", pa.int64()),
    ]
)


def decide_rows(rules: dict[str, tuple[Rule, float]], columns: list[pa.StructArray]) -> pa.StructArray:
    """Decides a batch of D documents.

    Args: per policy its rule and its bundle's token threshold; in the same order the policies' score columns, D rows.
    Returns DECISION_TYPE, D rows; spans are UTF-8 byte offsets within their document.
    """
    policies = [(rule, threshold, policy_scores(column)) for (rule, threshold), column in zip(rules.values(), columns)]
    return _as_column(decide(policies), list(rules))


def policy_scores(column: pa.StructArray) -> PolicyScores:
    """Decodes one policy's struct column. Raises ValueError when scores and lengths do not match, or one is null."""
    fields = dict(zip((field.name for field in column.type), column.flatten()))
    bytes_T, bounds_D1 = decode_lengths(fields["token_bytes"])
    scores_T, score_bounds_D1 = flat_bytes(fields["token_scores"])
    if not np.array_equal(bounds_D1, score_bounds_D1):
        raise ValueError("token_bytes and token_scores name different numbers of tokens: the scores table is damaged")
    document_score_D = fields["doc_score"].to_numpy(zero_copy_only=False)
    return PolicyScores(scores_T=scores_T, bytes_T=bytes_T, bounds_D1=bounds_D1, document_score_D=document_score_D)


def _as_column(decision: Decision, policies: list[str]) -> pa.StructArray:
    owner_N = owners(decision.spans.start_N, decision.byte_bounds_D1)
    base_N = decision.byte_bounds_D1[owner_N]
    spans = pa.StructArray.from_arrays(
        [
            pa.array(decision.spans.start_N - base_N, pa.int32()),
            pa.array(decision.spans.end_N - base_N, pa.int32()),
            pa.DictionaryArray.from_arrays(pa.array(decision.policy_N, pa.int32()), policies).cast(pa.string()),
        ],
        fields=list(SPAN_TYPE),
    )
    offsets_D1 = np.searchsorted(owner_N, np.arange(len(decision.action_D) + 1))
    actions = pa.DictionaryArray.from_arrays(pa.array(decision.action_D, pa.int32()), list(ACTIONS))
    return pa.StructArray.from_arrays(
        [
            pa.ListArray.from_arrays(pa.array(offsets_D1, pa.int32()), spans),
            actions.cast(pa.string()),
            pa.array(decision.forget_bytes_D, pa.int64()),
        ],
        fields=list(DECISION_TYPE),
    )
