"""An export does the work of what is new: other files keep their shards, and the corpus is that of a fresh export."""

import os
import random
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.corpora import sentence
from tests.releases import release_now, write_stopped_run
from tokensieve.jobs import export, mask, score, verify
from tokensieve.jobs.config.corpus import Config
from tokensieve.jobs.errors import BalanceError, ConfigError
from tokensieve.jobs.exporting.publish import sweep
from tokensieve.jobs.exporting.unchanged_groups import is_current
from tokensieve.jobs.releases.still_needed import manifests_to_keep
from tokensieve.jobs.tables.ledger import Ledger, Source
from tokensieve.jobs.tables.table import Commit
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.shards.shard import ShardReader
from tokensieve.pretrain.shards.verify import verify_shards

EACH_ALONE = "export.group_text_bytes=1"


def write_file(folder: Path, number: int, rows: int = 6, first: int | None = None) -> None:
    """`part-<number>.parquet` with documents of its own; another `first` gives other texts under the same ids."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = [sentence((number if first is None else first) * 50 + row, 5 + 7 * (row % 9)) for row in range(rows)]
    table = pa.table({"text": texts, "id": [f"doc-{number:02d}-{row:02d}" for row in range(rows)]})
    path = folder / f"part-{number:02d}.parquet"
    before = path.stat().st_mtime_ns if path.exists() else 0
    pq.write_table(table, path)
    os.utime(path, ns=(before + 10**9, before + 10**9))


def one_run(config: Config, spark) -> dict:
    score.run(config, spark)
    mask.run(config, spark)
    return export.run(config, spark)


def contents(config: Config) -> dict[str, tuple]:
    """Split, ids, loss mask and scores of every exported document by its id; none may be there twice."""
    found = {}
    for shard in Manifest.load(config.shards).shards:
        reader = ShardReader(config.shards / shard.prefix)
        docs = pq.read_table(config.shards / shard.docs)
        for at, doc_id in enumerate(docs["doc_id"].to_pylist()):
            start = int(reader.starts_D[at])
            part = slice(start, start + int(reader.lengths_D[at]))
            scores = None if shard.score_counts is None else reader.scores_T[part].tolist()
            assert doc_id not in found
            found[doc_id] = (shard.split, reader.ids_T[part].tolist(), reader.loss_mask_T[part].tolist(), scores)
    return found


def fresh(make, spark, tmp_path: Path, *overrides: str) -> dict[str, tuple]:
    """What the same verbs make of the same source in an empty root."""
    shutil.rmtree(tmp_path / "fresh", ignore_errors=True)
    config = make(f"tables.root={tmp_path / 'fresh'}", *overrides)
    one_run(config, spark)
    return contents(config)


def shards_of(config: Config, source: str) -> dict[str, tuple[int, int]]:
    """Inode and time of change of every file of the shards that hold documents of a source file."""
    found = {}
    for shard in Manifest.load(config.shards).shards:
        if source in pq.read_table(config.shards / shard.docs)["source_file"].to_pylist():
            stats = {name: (config.shards / name).stat() for name in shard.files()}
            found |= {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}
    return found


def jobs_of(spark, call) -> tuple[int, dict]:
    """How many Spark jobs a call runs, and what it returns."""
    context = spark.sparkContext
    context.setJobGroup("counted", "counted")
    before = len(context.statusTracker().getJobIdsForGroup("counted"))
    try:
        result = call()
    finally:
        context.setLocalProperty("spark.jobGroup.id", None)
    return len(context.statusTracker().getJobIdsForGroup("counted")) - before, result


@pytest.mark.parametrize("format", ["parquet", pytest.param("delta", marks=pytest.mark.slow)])
def test_new_changed_and_gone_files_touch_their_own_shards_only(configure, spark, tmp_path, format):
    source = tmp_path / "source"
    options = (EACH_ALONE, f"tables.format={format}", "export.splits.valid=0.3", "export.scores=medicine")
    config = configure(*options)
    for number in range(3):
        write_file(source, number)
    assert one_run(config, spark)["groups"] == {"kept": 0, "written": 3, "gone": 0}
    manifest, before = Manifest.load(config.shards).id, shards_of(config, "part-02.parquet")
    jobs, again = jobs_of(spark, lambda: export.run(config, spark))
    assert (jobs, again["manifest"], again["groups"]) == (0, manifest, {"kept": 3, "written": 0, "gone": 0})

    write_file(source, 1, first=7)
    write_file(source, 3, rows=9)
    (source / "part-00.parquet").unlink()
    assert one_run(config, spark)["groups"] == {"kept": 1, "written": 2, "gone": 1}
    assert len(before) > 0
    assert shards_of(config, "part-02.parquet") == before
    assert contents(config) == fresh(configure, spark, tmp_path, *options)
    assert verify.run(config)["documents"] == 21
    assert is_current(config.shards, Manifest.load(config.shards).id)
    assert not is_current(config.shards, manifest)
    assert [path.stem for path in (config.shards / "manifests").iterdir()] == [Manifest.load(config.shards).id]


def test_another_rule_tokenizer_or_setting_exports_everything_and_padding_nothing(configure, spark, tmp_path):
    for number in range(2):
        write_file(tmp_path / "source", number)
    one_run(configure(EACH_ALONE), spark)
    padded = export.run(configure(EACH_ALONE, "export.pad_vocabulary_to=1024"), spark)
    assert padded["groups"] == {"kept": 2, "written": 0, "gone": 0}
    assert Manifest.load(configure().shards).tokenizer.padded_vocab_size == 1024
    for change in ("export.seed=1", "export.splits.valid=0.3", "export.shard_text_bytes=900", "export.whole=true"):
        assert export.run(configure(EACH_ALONE, change), spark)["groups"] == {"kept": 0, "written": 2, "gone": 0}
    lax = configure(EACH_ALONE, "policies.medicine.rule.threshold=0.98")
    mask.run(lax, spark)
    assert export.run(lax, spark)["groups"] == {"kept": 0, "written": 2, "gone": 0}


def test_a_shard_that_has_lost_a_file_is_written_again_to_the_same_bytes(configure, spark, tmp_path):
    config = configure(EACH_ALONE)
    for number in range(2):
        write_file(tmp_path / "source", number)
    before = one_run(config, spark)["manifest"]
    lost = config.shards / Manifest.load(config.shards).shards[0].docs
    data = lost.read_bytes()
    lost.unlink()
    assert not is_current(config.shards, before)
    assert export.run(config, spark)["groups"] == {"kept": 1, "written": 1, "gone": 0}
    assert lost.read_bytes() == data
    assert is_current(config.shards, before)
    (config.shards / Manifest.load(config.shards).tokenizer.file).unlink()
    assert export.run(config, spark)["groups"] == {"kept": 2, "written": 0, "gone": 0}
    assert is_current(config.shards, before)


def test_tables_that_were_begun_anew_are_exported_whole_into_a_folder_of_its_own(configure, spark, tmp_path):
    config = configure(EACH_ALONE, f"export.folder={tmp_path / 'disk'}")
    write_file(tmp_path / "source", 1)
    one_run(config, spark)
    assert config.shards == tmp_path / "disk"
    assert not (tmp_path / "tables" / "shards").exists()
    shutil.rmtree(tmp_path / "tables")
    write_file(tmp_path / "source", 0)
    assert one_run(config, spark)["groups"] == {"kept": 0, "written": 2, "gone": 0}
    assert verify.run(config)["documents"] == 12


def test_shards_go_to_a_disk_also_where_the_tables_are_on_a_store(configure, tmp_path):
    assert configure("tables.variant=drop").shards == tmp_path / "tables" / "shards-drop"
    variant = configure("tables.variant=drop", f"export.folder={tmp_path}/disk")
    assert variant.shards == tmp_path / "disk-drop"
    with pytest.raises(ConfigError, match=r"export.folder: Value error, Megatron reads shards from disks"):
        configure("export.folder=s3a://bucket/shards")


def test_releases_keep_their_manifests_and_shards_until_they_are_gone(configure, spark, tmp_path):
    config = configure(EACH_ALONE)
    write_file(tmp_path / "source", 0)
    write_file(tmp_path / "source", 1)
    one_run(config, spark)
    first = Manifest.load(config.shards)
    release_now(config)
    write_file(tmp_path / "source", 1, first=9)
    one_run(config, spark)
    second = Manifest.load(config.shards)
    assert Manifest.load(config.shards, first.id) == first
    assert verify_shards(first, config.shards) == verify_shards(second, config.shards) == []
    assert verify.run(configure(f"pretrain={{manifest: {first.id}, preset: smoke}}"))["manifest"] == first.id
    training = configure(f"trace.runs=['{write_stopped_run(tmp_path / 'run', first.id)}']")
    shutil.rmtree(config.tables.folder / "releases")
    assert manifests_to_keep(training) == {first.id}
    assert sweep(config.shards, manifests_to_keep(training)) == []
    listed = sweep(config.shards, (), dry_run=True)
    assert f"manifests/{first.id}.json" in listed
    assert verify_shards(first, config.shards) == []
    assert sweep(config.shards, ()) == listed
    assert not any((config.shards / name).exists() for name in listed)
    assert verify_shards(second, config.shards) == []


def test_shards_that_do_not_add_up_to_the_table_are_not_published(configure, spark, tmp_path, monkeypatch):
    config = configure(EACH_ALONE)
    write_file(tmp_path / "source", 0)
    before = one_run(config, spark)["manifest"]
    write_file(tmp_path / "source", 1)
    score.run(config, spark)
    mask.run(config, spark)
    counts = {"documents": {"keep": 1, "mask": 0, "hide": 0}}
    monkeypatch.setattr("tokensieve.jobs.exporting.new_manifest.masked_counts", lambda *_: counts)
    with pytest.raises(BalanceError, match=r"12 documents in the shards that stay .* 1 in the masked table"):
        export.run(config, spark)
    assert Manifest.load(config.shards).id == before
    assert verify_shards(Manifest.load(config.shards), config.shards) == []


def test_a_delta_source_is_one_group_that_is_kept_while_the_table_stands(configure, spark, tmp_path):
    rows = [(f"d{at}", sentence(at)) for at in range(8)]
    spark.createDataFrame(rows, "id string, text string").write.format("delta").save(str(tmp_path / "source"))
    config = configure("source.format=delta")
    assert one_run(config, spark)["groups"] == {"kept": 0, "written": 1, "gone": 0}
    assert one_run(config, spark)["groups"] == {"kept": 1, "written": 0, "gone": 0}
    more = spark.createDataFrame([("d9", sentence(9))], "id string, text string")
    more.write.format("delta").mode("append").save(str(tmp_path / "source"))
    assert one_run(config, spark)["groups"] == {"kept": 0, "written": 1, "gone": 0}
    assert len(contents(config)) == 9


def test_ten_thousand_known_files_and_nothing_new_run_no_spark_job(configure, spark, tmp_path):
    config = configure("export.tokenizer=demo/tokenizer.json")
    write_file(tmp_path / "source", 0)
    one_run(config, spark)
    grow_ledger(config, spark, 10_000)
    assert export.run(config, spark)["groups"]["kept"] == 1
    manifest = Manifest.load(config.shards)
    assert manifest.groups is not None
    assert manifest.groups.sources == 10_000
    assert (config.shards / "manifest.json").stat().st_size < 10_000
    jobs, again = jobs_of(spark, lambda: export.run(config, spark))
    assert (jobs, again["manifest"]) == (0, manifest.id)


def grow_ledger(config: Config, spark, count: int) -> None:
    """Puts files without documents into the ledger of both tables, up to `count`."""
    scores, masked = config.tables.table("scores"), config.tables.table("masked")
    before, decided = scores.commit(), masked.commit()
    assert before is not None
    assert before.ledger is not None
    assert decided is not None
    known = Ledger.load(config.tables.store, before.ledger).sources
    empty = [
        Source(name=f"x-{at:06d}.parquet", version="1-1", documents=0, written=0) for at in range(count - len(known))
    ]
    ledger = Ledger(known | {one.name: one for one in empty}).save(config.tables.store)
    grown = scores.replace(
        scores.read(spark),
        Commit(batch=before.batch, inputs=before.inputs, counts=before.counts, ledger=ledger),
        sources=list(known),
    )
    inputs = decided.inputs | {"scores_version": grown.version}
    masked.replace(masked.read(spark), Commit(batch="grown", inputs=inputs, ledger=ledger), sources=list(known))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_after_any_runs_the_corpus_is_that_of_a_fresh_export(configure, spark, tmp_path, seed):
    rng = random.Random(seed)
    source = tmp_path / "source"
    options = (f"export.group_text_bytes={rng.choice([1, 1500, 10**9])}", "export.shard_text_bytes=600")
    config = configure(*options)
    write_file(source, 0)
    one_run(config, spark)
    for step in range(5):
        names = {path.stem for path in source.iterdir()}
        numbers = [int(name.removeprefix("part-")) for name in sorted(names)]
        touched = set(rng.sample(numbers, rng.randint(0, min(2, len(numbers)))))
        untouched = {number: shards_of(config, f"part-{number:02d}.parquet") for number in set(numbers) - touched}
        kept = {group.name for group in groups_of(config) if not {member(n) for n in touched} & group.sources.keys()}
        for number in touched:
            if rng.random() < 0.4 and len(names) > 1:
                (source / f"part-{number:02d}.parquet").unlink()
                names.discard(f"part-{number:02d}")
            else:
                write_file(source, number, rows=rng.randint(1, 9), first=100 * step + number)
        for _ in range(rng.randint(0, 2)):
            write_file(source, max(numbers) + 1 + rng.randint(0, 3), rows=rng.randint(1, 9))
        result = one_run(config, spark)
        assert result["groups"]["kept"] == len(kept)
        assert kept <= {group.name for group in groups_of(config)}
        alone = {number for number, files in untouched.items() if all(kept_shard(name, kept) for name in files)}
        assert {n: shards_of(config, member(n)) for n in alone} == {n: untouched[n] for n in alone}
        assert contents(config) == fresh(configure, spark, tmp_path, *options)
        assert verify.run(config)["manifest"] == result["manifest"]


def groups_of(config: Config):
    manifest = Manifest.load(config.shards)
    assert manifest.groups is not None
    return manifest.groups.load(config.shards).groups


def member(number: int) -> str:
    return f"part-{number:02d}.parquet"


def kept_shard(name: str, groups: set[str]) -> bool:
    return any(f"shard-{group}-" in name for group in groups)
