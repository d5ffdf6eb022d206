"""The verbs score and mask over both table formats: what is written, what balances, what a second run does."""

import functools
import json

import duckdb
import polars
import pyarrow.dataset
import pytest
from deltalake import DeltaTable

from tests.corpora import sentence, write_corpus
from tokensieve.jobs import mask, score
from tokensieve.jobs.config.export import ExportConfig, shards_folder
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.policies.rules import load_rules
from tokensieve.jobs.scoring import stage
from tokensieve.jobs.spark.progress import current_step, step
from tokensieve.jobs.tables.config import TablesConfig

SCORE_COLUMNS = [
    "doc_id", "text", "id", "dump", "source_file", "source_version", "source_row", "text_hash", "medicine",
]  # fmt: skip
MASKED_COLUMNS = [
    "doc_id", "text", "id", "dump", "source_file", "source_version", "source_row", "text_hash",
    "forget_spans", "action", "forget_bytes", "doc_score_medicine", "rule_id",
]  # fmt: skip


@pytest.fixture(params=["parquet", "delta"])
def config(request, configure, tmp_path):
    write_corpus(tmp_path / "source")
    return configure(f"tables.format={request.param}")


def rows(config, spark, name: str) -> list[dict]:
    frame = config.tables.table(name).read(spark)
    return [row.asDict(recursive=True) for row in frame.orderBy("doc_id").collect()]


def test_scores_hold_every_source_row_with_provenance_and_scores(config, spark, bundle):
    result = score.run(config, spark)
    assert result["documents"] == {"in": 24, "scored": 24, "quarantine": 0, "reasons": {}}
    found = rows(config, spark, "scores")
    assert [row["doc_id"] for row in found] == [f"doc-{n:03d}" for n in range(24)]
    assert [column for column in SCORE_COLUMNS if column not in found[0]] == []
    assert set(found[0]) - {"batch"} == set(SCORE_COLUMNS)
    for n, row in enumerate(found):
        assert row["text"] == sentence(n, 5 + 7 * (n % 9))
        assert (row["source_file"], row["source_row"]) == (f"part-{n // 12:05d}.parquet", n % 12)
        assert row["medicine"]["bundle_id"] == bundle.bundle_id
        assert sum(row["medicine"]["token_bytes"]) == len(row["text"].encode())
        assert len(row["medicine"]["token_scores"]) == len(row["medicine"]["token_bytes"])


def test_a_run_tells_its_progress_as_json_lines_and_what_its_devices_did(configure, spark, tmp_path):
    write_corpus(tmp_path / "source")
    config = configure(f"score.progress_json={tmp_path / 'progress.jsonl'}")
    spark.sparkContext.setJobDescription("mine")
    result = score.run(config, spark)
    last = json.loads((tmp_path / "progress.jsonl").read_text().splitlines()[-1])
    assert (last["documents"], last["quarantined"], last["share"]) == (24, 0, 1.0)
    assert last["text_bytes"] == sum(len(sentence(n, 5 + 7 * (n % 9))) for n in range(24))
    assert last["tasks_begun"] == last["tasks_done"] >= 1
    assert last["work"]["documents"] == 24
    assert result["device"]["tokens_per_s"] > 0
    assert result["device"]["devices"] in (1, 2)
    assert (result["device"]["token_budget"], result["device"]["padding"]) == (2048, 0.0)
    assert list((tmp_path / "tables" / "_progress").iterdir()) == [], "the tasks' heartbeats are swept"
    assert "device" not in score.run(config, spark), "nothing was scored"
    described = spark.sparkContext.getLocalProperty("spark.job.description")
    assert (described, spark.getTags()) == ("mine", set())
    spark.sparkContext.setLocalProperty("spark.job.description", None)


def test_spark_jobs_inside_a_step_bear_its_name(spark):
    described = functools.partial(spark.sparkContext.getLocalProperty, "spark.job.description")
    with step(spark, "score: outer"):
        with step(spark, "score: inner"):
            assert (current_step(), described()) == ("score: inner", "score: inner")
            assert spark.getTags() == {"score: outer", "score: inner"}
        assert (current_step(), described()) == ("score: outer", "score: outer")
    assert (current_step(), described(), spark.getTags()) == (None, None, set())


def test_masked_rows_follow_from_the_stored_scores_alone(config, spark):
    score.run(config, spark)
    result = mask.run(config, spark)
    found = rows(config, spark, "masked")
    assert set(found[0]) - {"batch"} == set(MASKED_COLUMNS)
    for scored, masked in zip(rows(config, spark, "scores"), found):
        ends = [sum(scored["medicine"]["token_bytes"][: n + 1]) for n in range(len(scored["medicine"]["token_bytes"]))]
        on = [value >= 128 for value in scored["medicine"]["token_scores"]]
        bytes_on = sum(n for n, flag in zip(scored["medicine"]["token_bytes"], on) if flag)
        assert masked["forget_bytes"] == bytes_on == sum(s["end"] - s["start"] for s in masked["forget_spans"])
        assert masked["action"] == ("mask" if bytes_on else "keep")
        assert all(span["start"] in [0, *ends] and span["end"] in ends for span in masked["forget_spans"])
        assert all(span["policy"] == "medicine" for span in masked["forget_spans"])
    assert result["documents"]["in"] == 24
    assert result["forget_bytes"] == sum(row["forget_bytes"] for row in found) > 0
    rules = load_rules(config.tables, found[0]["rule_id"])
    assert rules.policies["medicine"].threshold == 0.5


def test_a_second_run_changes_nothing_and_a_new_threshold_runs_no_model(config, configure, spark, monkeypatch):
    score.run(config, spark)
    first = mask.run(config, spark)
    monkeypatch.setattr(stage, "score_splits", None)
    assert score.run(config, spark)["documents"]["scored"] == 24
    assert mask.run(config, spark) == first
    tighter = configure(f"tables.format={config.tables.format}", "policies.medicine.rule.threshold=0.9")
    second = mask.run(tighter, spark)
    assert second["rule_id"] != first["rule_id"]
    assert second["forget_bytes"] < first["forget_bytes"]
    assert second["documents"]["in"] == 24
    back = mask.run(config, spark)
    assert back == first, "the same rule after another one is applied again, not skipped"


def test_one_corpus_under_two_policies(config, configure, spark, other_bundle):
    both = configure(
        f"tables.format={config.tables.format}",
        "policies.other.definition=medicine",
        f"policies.other.bundle={other_bundle.path}",
        "policies.other.rule.action=hide",
    )
    score.run(both, spark)
    found = rows(both, spark, "scores")
    assert {row["other"]["bundle_id"] for row in found} == {other_bundle.bundle_id}
    assert all(row["other"]["token_bytes"] == row["medicine"]["token_bytes"] for row in found)
    result = mask.run(both, spark)
    masked = rows(both, spark, "masked")
    for row in masked:
        flat = [edge for span in row["forget_spans"] for edge in (span["start"], span["end"])]
        assert flat == sorted(flat)
        asked = {span["policy"] for span in row["forget_spans"]}
        assert row["action"] == ("hide" if "other" in asked else "mask" if asked else "keep")
    assert result["documents"]["hide"] > 0


def test_masking_without_scores_or_with_those_of_another_bundle_says_which_verb_to_run(
    config, configure, spark, other_bundle
):
    with pytest.raises(InputError, match="run `tokensieve score` first"):
        mask.run(config, spark)
    score.run(config, spark)
    other = configure(f"tables.format={config.tables.format}", f"policies.medicine.bundle={other_bundle.path}")
    with pytest.raises(InputError, match=r"scored with .* run `tokensieve score`"):
        mask.run(other, spark)


def test_a_new_bundle_scores_again_and_replaces_the_table(config, configure, spark, other_bundle):
    score.run(config, spark)
    other = configure(f"tables.format={config.tables.format}", f"policies.medicine.bundle={other_bundle.path}")
    score.run(other, spark)
    assert {row["medicine"]["bundle_id"] for row in rows(other, spark, "scores")} == {other_bundle.bundle_id}
    assert len(rows(other, spark, "scores")) == 24


def test_other_readers_open_the_tables_unchanged(config, spark):
    score.run(config, spark)
    mask.run(config, spark)
    expected = {row["doc_id"]: row["forget_bytes"] for row in rows(config, spark, "masked")}
    folder = config.tables.folder / "masked"
    if config.tables.format == "delta":
        table = DeltaTable(str(folder))
        assert table.protocol().min_reader_version == 1
        arrow = table.to_pyarrow_table(columns=["doc_id", "forget_bytes"])
        frame = polars.read_delta(str(folder))
        relation = duckdb.from_arrow(table.to_pyarrow_dataset())
    else:
        arrow = pyarrow.dataset.dataset(folder, partitioning="hive").to_table(columns=["doc_id", "forget_bytes"])
        frame = polars.read_parquet(f"{folder}/**/*.parquet")
        relation = duckdb.read_parquet(f"{folder}/**/*.parquet", hive_partitioning=True)
    assert dict(zip(arrow["doc_id"].to_pylist(), arrow["forget_bytes"].to_pylist())) == expected
    assert dict(frame.select("doc_id", "forget_bytes").iter_rows()) == expected
    assert dict(relation.project("doc_id, forget_bytes").fetchall()) == expected
    spans = frame.filter(polars.col("forget_bytes") > 0)["forget_spans"][0].to_list()
    assert set(spans[0]) == {"start", "end", "policy"}


def test_a_variant_keeps_its_decision_and_shards_beside_the_first_over_the_same_scores(tmp_path):
    first, drop = (TablesConfig(root=str(tmp_path), variant=variant) for variant in (None, "drop"))
    assert (first.table("masked").name, shards_folder(ExportConfig(), first).name) == ("masked", "shards")
    assert (drop.table("masked").name, shards_folder(ExportConfig(), drop).name) == ("masked-drop", "shards-drop")
    assert drop.table("scores").uri == first.table("scores").uri
    with pytest.raises(ValueError, match="String should match pattern"):
        TablesConfig(root=str(tmp_path), variant="../drop")
