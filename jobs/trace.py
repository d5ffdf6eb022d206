"""Verb `trace`: one document at every station, raw row, scores, masked text, shard and training sample.

Each station is read from where it is stored and held against the one before, so that a trace is also a check. Looking
up an id scans the id column of the tables; nothing is indexed by it.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import xxhash

from tokensieve.jobs.errors import InputError
from tokensieve.jobs.exporting.read_back import Exported, Shards
from tokensieve.jobs.policies.rules import load_rules
from tokensieve.jobs.tables.table import Table
from tokensieve.jobs.tracing.as_lines import lines
from tokensieve.jobs.tracing.raw_row import read_raw_row
from tokensieve.jobs.tracing.removed_document import find_left, left_lines
from tokensieve.jobs.tracing.samples import training
from tokensieve.pretrain.shards.manifest import FILE_NAME as MANIFEST
from tokensieve.udfs.deciding.decide_rows import policy_scores
from tokensieve.udfs.scores.stored_scores import probabilities
from tokensieve.udfs.scoring.score_plan import EMPTY, WINDOWED

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from tokensieve.jobs.config.corpus import Config

HIGHEST = 8  # tokens shown of the scores
NEAR_MISSES = 5
RUNS = 12  # runs of tokens without loss that are shown, each of at most RUN_TOKENS
RUN_TOKENS = 40
BEGINNING = 200  # characters of the raw text


def run(config: "Config", spark: "SparkSession", doc_id: str) -> dict[str, Any]:
    """What every station holds of the document, as plain values, and under "lines" for people; of one that left the
    tables, under "left" what releases and runs have seen of it.

    Raises InputError for an id that neither the scores nor the quarantine know or a rule that is not there,
    ManifestError, CorruptShardError.
    """
    tables = config.tables
    scored = _row(tables.table("scores"), spark, doc_id)
    quarantined = _row(tables.table("quarantine"), spark, doc_id)
    if scored is None and quarantined is None:
        left = find_left(config, spark, doc_id)
        if left is not None:
            return {"doc_id": doc_id, "left": asdict(left), "lines": left_lines(doc_id, left)}
        raise InputError(f"{tables.root}: no document has the id {doc_id!r}{_near(config, spark, doc_id)}")
    found: dict[str, Any] = {"doc_id": doc_id}
    if quarantined is not None:
        found["quarantine"] = quarantined.to_pylist()[0]
    origin = quarantined if scored is None else scored
    assert origin is not None
    found["raw"] = _raw(config, spark, origin)
    if scored is not None:
        text = scored.column(config.source.columns.text)[0].as_py()
        policies = [name for name in config.policies if name in scored.column_names]
        found["scores"] = {policy: _scores(scored, policy, text) for policy in policies}
        found["masked"] = _masked(_row(tables.table("masked"), spark, doc_id))
        if found["masked"] is not None:
            found["masked"]["spared"] = _spared(config, found["masked"]["rule_id"], scored)
        found |= _stations_after_export(config, spark, doc_id, found["masked"])
    return found | {"lines": lines(found)}


def _row(table: Table, spark: "SparkSession", doc_id: str) -> pa.Table | None:
    """The document's row, None when the table lacks it or is not there yet."""
    from pyspark.sql import functions as F

    if table.commit() is None:
        return None
    rows = table.read(spark).where(F.col("doc_id") == doc_id).limit(1).toArrow().combine_chunks()
    return rows if rows.num_rows else None


def _near(config: "Config", spark: "SparkSession", doc_id: str) -> str:
    """Ids that hold the given one, or begin as its first half does."""
    from pyspark.sql import functions as F

    near: list[str] = []
    for name in ("scores", "quarantine"):
        table = config.tables.table(name)
        if table.commit() is not None:
            ids: DataFrame = table.read(spark).select("doc_id")
            alike = ids.where(
                F.col("doc_id").contains(doc_id) | F.col("doc_id").startswith(doc_id[: len(doc_id) // 2 or 1])
            )
            rows = alike.orderBy(~F.col("doc_id").contains(doc_id), "doc_id").limit(NEAR_MISSES).collect()
            near += [row["doc_id"] for row in rows]
    return (
        f"; near it: {', '.join(map(repr, near[:NEAR_MISSES]))}"
        if near
        else "; it was never scored, or is of another corpus"
    )


def _raw(config: "Config", spark: "SparkSession", origin: pa.Table) -> dict[str, Any]:
    """The source's row, read again."""
    stored = {
        name: origin[name][0].as_py() for name in origin.column_names if name.startswith(("source_", "text_hash"))
    }
    version = stored.get("source_version")
    raw = read_raw_row(config.source, spark, stored["source_file"], stored["source_row"], version)
    found_hash = None if raw.text is None else xxhash.xxh3_128_hexdigest(raw.text.encode())
    return {
        "file": stored["source_file"],
        "row": stored["source_row"],
        "path": raw.path,
        "version_then": version,
        "version_now": raw.version,
        "text_bytes": None if raw.text is None else len(raw.text.encode()),
        "text_hash_then": stored.get("text_hash"),
        "text_hash_now": found_hash,
        "begins": None if raw.text is None else raw.text[:BEGINNING],
        "fault": raw.fault,
    }


def _scores(scored: pa.Table, policy: str, text: str) -> dict[str, Any]:
    """One policy's stored scores, with the text of the highest ones."""
    column = scored.column(policy).combine_chunks()
    assert isinstance(column, pa.StructArray)
    stored, scores = column[0].as_py(), policy_scores(column)
    ends_T = np.cumsum(scores.bytes_T)
    raw, probability_T = text.encode(), probabilities(scores.scores_T)
    order = np.argsort(-scores.scores_T.astype(np.int16), kind="stable")
    highest: dict[str, float] = {}
    for at in order[: 50 * HIGHEST].tolist():
        token = raw[ends_T[at] - scores.bytes_T[at] : ends_T[at]].decode(errors="backslashreplace")
        highest.setdefault(token, round(float(probability_T[at]), 4))
        if len(highest) == HIGHEST:
            break
    doc_score = stored["doc_score"]
    return {
        "bundle_id": stored["bundle_id"],
        "tokens": len(scores.scores_T),
        "doc_score": None if doc_score is None or np.isnan(doc_score) else round(doc_score, 4),
        "flags": [name for name, bit in (("empty", EMPTY), ("windowed", WINDOWED)) if stored["flags"] & bit],
        "highest": [{"text": token, "score": score} for token, score in highest.items()],
    }


def _masked(masked: pa.Table | None) -> dict[str, Any] | None:
    """The decision, each span with the text it covers; None before `mask`."""
    if masked is None:
        return None
    row = masked.select(["action", "forget_spans", "forget_bytes", "rule_id", "text"]).to_pylist()[0]
    raw = row.pop("text").encode()
    covered = (
        {"text": raw[span["start"] : span["end"]].decode(errors="backslashreplace")} for span in row["forget_spans"]
    )
    row["forget_spans"] = [span | text for span, text in zip(row["forget_spans"], covered)]
    return row


def _spared(config: "Config", rule_id: str, scored: pa.Table) -> dict[str, float]:
    """The policies whose cascade leaves this document whole, with the document score that it lacks."""
    spared = {}
    for policy, entry in load_rules(config.tables, rule_id).policies.items():
        doc_score = scored.column(policy)[0].as_py()["doc_score"] if policy in scored.column_names else None
        if entry.cascade_threshold is not None and doc_score is not None and doc_score < entry.cascade_threshold:
            spared[policy] = entry.cascade_threshold
    return spared


def _stations_after_export(
    config: "Config", spark: "SparkSession", doc_id: str, masked: dict[str, Any] | None
) -> dict[str, Any]:
    if masked is None:
        return {"shard": {"missing": "no masked table has it yet; run `tokensieve mask`"}}
    if not (config.shards / MANIFEST).is_file():
        return {"shard": {"missing": "there are no shards; run `tokensieve export`"}}
    shards = Shards(config.shards)
    place = shards.places(spark, [doc_id]).get(doc_id)
    if place is None:
        dropped = masked["action"] == "drop"
        why = "dropped documents are in no shard" if dropped else "not in the shards; run `tokensieve export` again"
        return {"shard": {"missing": why}}
    exported = shards.read(place)
    return {"shard": _shard(shards, exported), "training": training(config, doc_id)}


def _shard(shards: Shards, exported: Exported) -> dict[str, Any]:
    """The document in its shard; runs of tokens without loss as text."""
    none_T = exported.loss_mask_T == 0
    edges = np.flatnonzero(np.diff(none_T, prepend=False, append=False)).reshape(-1, 2).tolist()
    runs = [
        {
            "first": first,
            "end": end,
            "text": "".join(group.text for group in shards.groups(exported, first, min(end, first + RUN_TOKENS))),
        }
        for first, end in edges[:RUNS]
    ]
    return {
        **asdict(exported.place),
        "tokens": len(exported.ids_T),
        "loss_tokens": int(np.count_nonzero(exported.loss_mask_T)),
        "without_loss": runs,
        "runs_without_loss": len(edges),
        "manifest": shards.manifest.id,
    }


if __name__ == "__main__":
    from tokensieve.jobs.command.application import application

    application("trace")
