"""Chooses documents to look at and cuts them into coloured runs: exported ones from their shard, dropped ones from the
masked table.

The choice follows from a hash of (document id, seed). A long document is shown in part, around its first forgotten
token, since a page must stay a page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tokensieve.jobs.exporting.read_back import Exported, Shards, TokenGroup
from tokensieve.jobs.pages.corpus.facts import Loss, Run, SampleDocument
from tokensieve.udfs.deciding.decide_rows import policy_scores
from tokensieve.udfs.deciding.rule import PolicyScores
from tokensieve.udfs.scores.stored_scores import probabilities

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

GROUPS = (("mask", "hide"), ("keep",), ("drop",))
BYTES_PER_TOKEN = 4  # how much of a document without tokens is shown
LEAD = 40  # tokens shown before the first forgotten one


@dataclass(frozen=True, kw_only=True)
class Row:
    """One document of the tables. `spans` are UTF-8 byte offsets (start, end, policy)."""

    doc_id: str
    source: str
    action: str
    text: str
    spans: list[tuple[int, int, str]]
    scores: dict[str, PolicyScores]


def choose(masked: "DataFrame", count: int, seed: int) -> list[str]:
    """Ids of `count` documents: half with forgotten tokens, a quarter kept, a quarter dropped, if there are so many."""
    from pyspark.sql import functions as F

    hashed = masked.select("doc_id", "action", F.xxhash64(F.lit(seed), F.col("doc_id")).alias("order"))
    found = []
    for actions in GROUPS if count else ():
        rows = hashed.where(F.col("action").isin(*actions)).orderBy("order", "doc_id").limit(count).collect()
        found.append([row["doc_id"] for row in rows])
    return _share_out(found, count)


def _share_out(groups: list[list[str]], count: int) -> list[str]:
    """The first ids of every group by its share; places that a group cannot fill go to the groups before it."""
    wanted = [count - 2 * (count // 4), count // 4, count // 4]
    taken = [ids[:quota] for ids, quota in zip(groups, wanted)]
    for at, ids in enumerate(groups):
        missing = count - sum(map(len, taken))
        taken[at] = ids[: len(taken[at]) + missing]
    return [doc_id for ids in taken for doc_id in ids]


def read_rows(
    scores: "DataFrame", masked: "DataFrame", policies: Sequence[str], text: str, ids: list[str]
) -> list[Row]:
    """The documents' rows from both tables, in the order of `ids`. `text` names the text column of the scores."""
    from pyspark.sql import functions as F

    if not ids:
        return []
    wanted = F.col("doc_id").isin(ids)
    scored = scores.where(wanted).select("doc_id", F.col(text).alias("text"), *policies).toArrow().combine_chunks()
    decided = masked.where(wanted).select("doc_id", "source_file", "source_row", "action", "forget_spans").collect()
    by_id = {row["doc_id"]: row for row in decided}
    at = {doc_id: row for row, doc_id in enumerate(scored.column("doc_id").to_pylist())}
    return [_row(by_id[doc_id], scored.slice(at[doc_id], 1), policies) for doc_id in ids]


def _row(decided: Any, scored: pa.Table, policies: Sequence[str]) -> Row:
    return Row(
        doc_id=decided["doc_id"],
        source=f"{decided['source_file']}, row {decided['source_row']}",
        action=decided["action"],
        text=scored.column("text")[0].as_py(),
        spans=[(span["start"], span["end"], span["policy"]) for span in decided["forget_spans"]],
        scores={policy: stored_scores(scored, policy) for policy in policies},
    )


def stored_scores(row: pa.Table, policy: str) -> PolicyScores:
    """One document's scores under a policy, from a table of one row."""
    column = row.column(policy).combine_chunks()
    assert isinstance(column, pa.StructArray)
    return policy_scores(column)


def exported_sample(row: Row, exported: Exported, shards: Shards, limit: int) -> SampleDocument:
    """A document of the shards, at most `limit` of its tokens."""
    total, none_T = len(exported.ids_T), exported.loss_mask_T == 0
    first = max(0, int(np.argmax(none_T)) - LEAD) if none_T.any() else 0
    first = min(first, max(0, total - limit))
    groups = shards.groups(exported, first, min(total, first + limit))
    ends_T = _byte_ends(row, exported, shards)
    score_ends = {policy: np.cumsum(scores.bytes_T) for policy, scores in row.scores.items()}

    def title(group: TokenGroup) -> str:
        if ends_T is None:
            return ""
        start = int(ends_T[group.first - 1]) if group.first else 0
        return _score_range(row, score_ends, start, int(ends_T[group.end - 1]))

    hidden_T = none_T & (exported.ids_T == shards.manifest.tokenizer.hidden_id)
    shown = f"tokens {groups[0].first + 1:,} to {groups[-1].end:,} of {total:,}" if total > limit else None
    return SampleDocument(
        doc_id=row.doc_id,
        action=row.action,
        source=row.source,
        facts=f"{exported.place.shard}, document {exported.place.index}: {total:,} tokens, "
        f"{int(np.count_nonzero(none_T)):,} without loss",
        runs=tuple(_token_run(group, none_T, hidden_T, title(group)) for group in groups),
        shown=shown,
    )


def _token_run(group: TokenGroup, none_T: np.ndarray, hidden_T: np.ndarray, title: str) -> Run:
    none = none_T[group.first : group.end]
    loss: Loss = "none" if none.all() else "some" if none.any() else "loss"
    hidden = bool(hidden_T[group.first : group.end].any())
    return Run(text=group.text, loss=loss, tokens=group.end - group.first, title=title, hidden=hidden)


def _byte_ends(row: Row, exported: Exported, shards: Shards) -> np.ndarray | None:
    """Where each token of the shard ends in the table's text, int64 [T]; None when the shard is of another text."""
    tokens = shards.tokenizer.encode([row.text])
    ids_T = np.append(tokens.ids_T, shards.manifest.tokenizer.eod)
    hidden_T = exported.ids_T == shards.manifest.tokenizer.hidden_id
    if len(ids_T) != len(exported.ids_T) or not np.all((ids_T == exported.ids_T) | hidden_T):
        return None
    return np.cumsum(np.append(tokens.bytes_T, 0), dtype=np.int64)


def _score_range(row: Row, score_ends: dict[str, np.ndarray], start: int, end: int) -> str:
    """What the classifiers said of bytes `start` to `end`: per policy the lowest and highest probability."""
    if end <= start:
        return ""
    ranges = []
    for policy, scores in row.scores.items():
        first, last = np.searchsorted(score_ends[policy], [start, end - 1], side="right")
        found = probabilities(scores.scores_T[first : last + 1])
        low, high = f"{found.min():.3f}", f"{found.max():.3f}"
        ranges.append(f"{policy} {low}" if low == high else f"{policy} {low} to {high}")
    return "; ".join(ranges)


def table_sample(row: Row, limit: int) -> SampleDocument:
    """A document that is in no shard, from the masked table: its text with its spans."""
    raw = row.text.encode()
    most = limit * BYTES_PER_TOKEN
    first = max(0, row.spans[0][0] - LEAD * BYTES_PER_TOKEN) if row.spans else 0
    first = min(first, max(0, len(raw) - most))
    why = "dropped: in no shard" if row.action == "drop" else "not exported yet"
    forgotten = sum(end - start for start, end, _ in row.spans)
    cut = len(raw) > most
    return SampleDocument(
        doc_id=row.doc_id,
        action=row.action,
        source=row.source,
        facts=f"{why}; {forgotten:,} of {len(raw):,} bytes in forget spans",
        runs=tuple(span_runs(raw, row.spans, first, min(len(raw), first + most))),
        shown=f"about bytes {first:,} to {min(len(raw), first + most):,} of {len(raw):,}" if cut else None,
    )


def span_runs(raw: bytes, spans: list[tuple[int, int, str]], first: int, end: int) -> list[Run]:
    """Bytes `first` to `end` of a UTF-8 text as runs; a character that a span touches belongs to it whole."""
    owner_B = np.full(len(raw) + 1, -1, dtype=np.int32)
    for at, (start, stop, _) in enumerate(spans):
        owner_B[start:stop] = at
    byte_B = np.frombuffer(raw, dtype=np.uint8)
    starts_C = np.flatnonzero((byte_B & 0xC0) != 0x80)
    owner_C = np.maximum.reduceat(owner_B[:-1], starts_C) if len(starts_C) else owner_B[:0]
    window = (starts_C >= first) & (starts_C < end)
    bounds_C1 = np.append(starts_C, len(raw))[np.append(window, False) | np.append(False, window)]
    owner_C = owner_C[window]
    cuts = np.flatnonzero(np.diff(owner_C, prepend=-2, append=-2))
    return [
        Run(
            text=raw[bounds_C1[a] : bounds_C1[b]].decode(),
            loss="loss" if owner_C[a] < 0 else "none",
            tokens=0,
            title="" if owner_C[a] < 0 else f"forgotten for {spans[owner_C[a]][2]}",
        )
        for a, b in pairwise(cuts.tolist())
    ]
