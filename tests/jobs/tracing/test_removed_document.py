"""A document that has left the tables: the last release that had it, why it left, and the runs that had it."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.jobs.exporting.test_incremental import EACH_ALONE, one_run, write_file
from tests.releases import release_now, write_stopped_run
from tokensieve.jobs import trace
from tokensieve.jobs.errors import InputError
from tokensieve.pretrain.shards.blend import Blend, BlendSource
from tokensieve.pretrain.shards.manifest import Manifest


def write_run(folder: Path, corpus_id: str, shards: Path | None = None) -> Path:
    """What a finished run says of itself, as far as a trace reads it."""
    folder.mkdir(parents=True)
    about = {"manifest_id": corpus_id, "pretrain": {"shards": None if shards is None else str(shards)}}
    (folder / "config.json").write_text(json.dumps(about))
    return folder


@pytest.fixture(scope="module")
def retracted(configure_in, spark, tmp_path_factory):
    """Three releases: the second has part-01 republished without its rows 4 and 5, the third lacks part-00."""
    tmp_path = tmp_path_factory.mktemp("retracted")
    runs = tmp_path / "runs"
    config = configure_in(tmp_path)(EACH_ALONE, f"trace.runs=['{runs}/*']", "policies.medicine.rule.drop_share=0.35")
    for number in range(3):
        write_file(tmp_path / "source", number)
    one_run(config, spark)
    first = Manifest.load(config.shards).id
    release_now(config)
    write_file(tmp_path / "source", 1, rows=4)
    one_run(config, spark)
    second = Manifest.load(config.shards).id
    release_now(config)
    (tmp_path / "source" / "part-00.parquet").unlink()
    one_run(config, spark)
    third = Manifest.load(config.shards).id
    release_now(config)
    write_run(runs / "a", first)
    write_stopped_run(runs / "b", third)
    blend = BlendSource(name="clean", shards="../tables/shards", manifest_id=second, weight=1.0, epochs=1.0)
    (tmp_path / "blend").mkdir()
    Blend(name="mix", sources=(blend,), tokens=100).save(tmp_path / "blend")
    write_run(runs / "c", Blend.load(tmp_path / "blend").id, tmp_path / "blend")
    write_run(runs / "d", "0123456789abcdef")
    (runs / "not-a-run").mkdir()
    return config, (first, second, third)


def test_a_document_of_a_file_that_left_names_its_last_release_and_the_runs_that_had_it(retracted, spark):
    config, (first, second, _) = retracted
    gone = exported_of(config, first, "part-00.parquet")
    found = trace.run(config, spark, gone)
    left = found["left"]
    assert (left["source_file"], left["last_release"], left["left_with"]) == ("part-00.parquet", 2, 3)
    assert left["why"] == "its source file has left: deleted, or excluded by source.exclude"
    assert left["manifests"] == tuple(sorted((first, second)))
    runs = {Path(run["folder"]).name: run["had_it"] for run in left["runs"]}
    assert runs == {"a": True, "b": False, "c": True, "d": None}
    assert "  release     2 was the last that had it, 3 has it no more" in found["lines"]


def test_a_document_that_a_republished_file_lacks_was_last_in_the_release_before(retracted, spark):
    config, _ = retracted
    left = trace.run(config, spark, "doc-01-05")["left"]
    assert (left["last_release"], left["left_with"]) == (1, 2)
    assert left["why"].startswith("its source file has no such document any more in version ")


def test_a_dropped_document_that_left_is_found_in_the_tables_of_its_release(retracted, spark):
    config, _ = retracted
    table = config.tables.table("masked")
    rows = table.read(spark, 0).where("source_file = 'part-00.parquet' and action = 'drop'").collect()
    assert rows, "the rule drops some"
    left = trace.run(config, spark, rows[0]["doc_id"])["left"]
    assert (left["last_release"], left["left_with"], left["manifests"]) == (2, 3, ())
    assert [run["had_it"] for run in left["runs"]] == [False, False, False, None]


def test_an_id_that_was_never_there_is_still_refused(retracted, spark):
    with pytest.raises(InputError, match="no document has the id 'zebra'; it was never scored"):
        trace.run(retracted[0], spark, "zebra")


def exported_of(config, manifest_id: str, source: str) -> str:
    """A document of a source file that the shards of a manifest hold."""
    for shard in Manifest.load(config.shards, manifest_id).shards:
        for row in pq.read_table(config.shards / shard.docs).to_pylist():
            if row["source_file"] == source:
                return row["doc_id"]
    raise AssertionError(f"no document of {source} was exported")
