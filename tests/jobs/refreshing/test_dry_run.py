"""A dry run says what is new and what would run; it writes nothing and needs no Spark session."""

import os

import pytest

from tests.corpora import write_corpus
from tests.refresh_runs import no_session
from tokensieve.jobs import refresh
from tokensieve.jobs.refresh import refresh as command

FIRST = {
    "score": "there is no release yet",
    **{step: "after score" for step in ("mask", "export", "release", "report")},
}


def look(config, **options):
    return command(config, no_session, dry_run=True, **options)


def first_step(config) -> str:
    return next(iter(look(config)["due"]))


def test_before_the_first_run_everything_is_due(configure, tmp_path):
    write_corpus(tmp_path / "source", files=2)
    (tmp_path / "source" / "bad.parquet").write_bytes(b"PAR1 no more")
    said = look(configure())
    assert said["due"] == FIRST
    assert said["new"] == ["bad.parquet", "part-00000.parquet", "part-00001.parquet"]
    assert said["broken"]["bad.parquet"].startswith("unreadable_file: ArrowInvalid")
    assert not (tmp_path / "tables").exists()


@pytest.mark.slow
def test_every_kind_of_change_is_named_with_the_step_that_it_needs(configure, tmp_path, spark, other_bundle):
    write_corpus(tmp_path / "source", files=3)
    config = configure()
    refresh.run(config, lambda: spark)
    assert look(config)["lines"] == ["nothing to do"]
    assert first_step(configure("export.pad_vocabulary_to=64")) == "export"
    assert first_step(configure("policies.medicine.rule.threshold=0.4")) == "mask"
    assert first_step(configure(f"policies.medicine.bundle={other_bundle.path}")) == "score"
    assert look(config, replay=True)["due"]["score"] == "--replay"

    manifest = config.shards / "manifest.json"
    manifest.rename(config.shards / "aside.json")
    assert first_step(config) == "export"
    (config.shards / "aside.json").rename(manifest)

    os.utime(tmp_path / "source" / "part-00000.parquet")
    (tmp_path / "source" / "part-00001.parquet").unlink()
    kept = look(config)
    assert kept["due"]["score"] == "source: 0 new, 1 changed, 0 gone, 1 missing, 2 kept"
    assert (kept["changed"], kept["missing"]) == (["part-00000.parquet"], ["part-00001.parquet"])
    assert look(configure("refresh.deleted=retract"))["gone"] == ["part-00001.parquet"]
    assert look(configure("source.exclude=[part-*1.parquet]"))["gone"] == ["part-00001.parquet"]
