"""The verb export: shards that follow from the table alone, lead back to their rows, and appear all at once."""

import json
import shutil
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.bundles import small_tokenizer
from tests.corpora import write_corpus
from tokensieve.jobs import export, mask, score
from tokensieve.jobs.config.export import ExportConfig
from tokensieve.jobs.errors import ConfigError, ExecutorError, InputError, executor_errors
from tokensieve.jobs.exporting.layout import shard_bytes, shard_count
from tokensieve.jobs.exporting.tokenizer import tokenizer_info
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.shards.shard import ShardReader
from tokensieve.pretrain.shards.verify import verify_shards
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

SMALL_SHARDS = "export.shard_text_bytes=1500"


@pytest.fixture(scope="module", params=["parquet", "delta"])
def made_once(request, configure_in, tmp_path_factory, spark):
    """A folder with a masked table of 24 documents, some of them dropped, and the settings it was made with."""
    folder = tmp_path_factory.mktemp("masked")
    write_corpus(folder / "source")
    settings = (f"source.path={folder / 'source'}", f"tables.format={request.param}")
    settings = (*settings, "policies.medicine.rule.drop_share=0.35")
    config = configure_in(folder)(*settings)
    score.run(config, spark)
    mask.run(config, spark)
    return folder, settings


@pytest.fixture
def masked(made_once, configure, tmp_path):
    """A masked table of 24 documents for one test alone; returns what makes configurations for it."""
    folder, settings = made_once
    shutil.copytree(folder / "tables", tmp_path / "tables")
    return partial(configure, *settings)


def contents(config) -> dict[str, tuple[list[int], list[int]]]:
    """Ids and loss mask of every exported document by its id, read back through the docs index."""
    folder = config.shards
    found = {}
    for shard in Manifest.load(folder).shards:
        reader = ShardReader(folder / shard.prefix)
        docs = pq.read_table(folder / shard.docs).to_pylist()
        assert [row["index"] for row in docs] == list(range(reader.documents))
        for row in docs:
            assert row["shard"] == shard.prefix
            found[row["doc_id"]] = (reader.ids(row["index"]).tolist(), reader.loss_mask(row["index"]).tolist())
    return found


def files(config) -> dict[str, bytes]:
    folder = config.shards
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_document_that_is_not_dropped_is_there_with_its_text_its_spans_and_eod(masked, spark, tokenizer):
    config = masked(SMALL_SHARDS)
    result = export.run(config, spark)
    assert result["shards"] > 1
    assert verify_shards(Manifest.load(config.shards), config.shards) == []
    found = contents(config)
    reader = ByteTokenizer.load(tokenizer)
    rows = [row.asDict(recursive=True) for row in config.tables.table("masked").read(spark).collect()]
    assert {row["doc_id"] for row in rows if row["action"] == "drop"}
    assert set(found) == {row["doc_id"] for row in rows if row["action"] != "drop"}
    for row in (row for row in rows if row["action"] != "drop"):
        ids, loss_mask = found[row["doc_id"]]
        plain = reader.encode([row["text"]])
        assert ids == [*plain.ids_T.tolist(), 0]
        ends = np.cumsum(plain.bytes_T)
        touched = [
            any(span["start"] < end and end - size < span["end"] for span in row["forget_spans"])
            for end, size in zip(ends, plain.bytes_T)
        ]
        assert loss_mask == [*(int(not flag) for flag in touched), 1]
    assert result["loss_tokens"] == sum(sum(loss_mask) for _, loss_mask in found.values())
    assert result["tokens"] == sum(len(ids) for ids, _ in found.values())


def test_the_same_table_gives_the_same_bytes_however_it_is_partitioned(masked, spark):
    config = masked(SMALL_SHARDS)
    export.run(config, spark)
    first = files(config)
    manifest = Manifest.load(config.shards)
    assert manifest.groups is not None
    assert sorted(name for name in first if not name.startswith(("shard-", "docs/"))) == [
        manifest.groups.file,
        "manifest.json",
        f"manifests/{manifest.id}.json",
        f"tokenizer-{manifest.tokenizer.sha256[:12]}.json",
    ]
    before = spark.conf.get("spark.sql.files.maxPartitionBytes")
    spark.conf.set("spark.sql.files.maxPartitionBytes", 1000)
    try:
        assert export.run(masked(SMALL_SHARDS, "export.whole=true"), spark)["groups"]["kept"] == 0
    finally:
        spark.conf.set("spark.sql.files.maxPartitionBytes", before)
    assert files(config) == first


def test_ids_are_the_same_with_masking_on_or_off_and_another_rule_only_changes_the_mask(masked, spark):
    config = masked()
    export.run(config, spark)
    strict = contents(config)
    lax = masked("policies.medicine.rule.threshold=0.98", "policies.medicine.rule.drop_share=null")
    mask.run(lax, spark)
    export.run(lax, spark)
    everything = contents(lax)
    assert len(everything) == 24
    assert all(everything[doc_id][0] == ids for doc_id, (ids, _) in strict.items())
    assert any(everything[doc_id][1] != loss_mask for doc_id, (_, loss_mask) in strict.items())
    named = {shard.prefix for shard in Manifest.load(lax.shards).shards}
    there = {path.name.split(".")[0].removesuffix("_mask") for path in lax.shards.glob("shard-*")}
    assert there == named, "shards of the earlier export are swept once the new manifest stands"


def test_another_seed_gives_another_order_of_the_same_documents(masked, spark):
    one, two = masked(), masked("export.seed=1")
    export.run(one, spark)
    first = contents(one)
    export.run(two, spark)
    second = contents(two)
    assert list(first) != list(second)
    assert first == second


def test_a_failed_export_leaves_the_old_one_standing(masked, spark, tmp_path):
    config = masked()
    export.run(config, spark)
    before = files(config)
    spec = json.loads(small_tokenizer(tmp_path / "t" / "good.json", [], 258, ("<|endoftext|>",)).read_text())
    spec["normalizer"] = {"type": "Replace", "pattern": {"Regex": "[\\s\\S]+"}, "content": ""}
    (tmp_path / "t" / "lossy.json").write_text(json.dumps(spec))
    lossy = masked(f"export.tokenizer={tmp_path / 't' / 'lossy.json'}")
    with pytest.raises(ExecutorError, match=r"nothing was published: .*use another export.tokenizer"):  # noqa: SIM117
        with executor_errors("export"):
            export.run(lossy, spark)
    assert files(config) == before


@pytest.mark.parametrize(
    ("settings", "error", "expected"),
    [
        ({}, ConfigError, "export.tokenizer is not set"),
        ({"tokenizer": "no/such.json"}, ConfigError, r"no/such.json: no such file"),
        ({"eod": "</s>"}, ConfigError, r"has no token '</s>'"),
        ({"hidden": "<|endoftext|>"}, ConfigError, "export.hidden and export.eod are both token 0"),
    ],
)
def test_a_tokenizer_that_does_not_fit_is_refused_by_name(tokenizer, settings, error, expected):
    given = settings if not settings or "tokenizer" in settings else {"tokenizer": str(tokenizer), **settings}
    with pytest.raises(error, match=expected):
        tokenizer_info(ExportConfig(**given))


def test_the_hidden_token_is_the_first_free_id_where_the_tokenizer_has_none(tmp_path):
    file = small_tokenizer(tmp_path / "t.json", [], 257, special=("<|endoftext|>",))
    _, info = tokenizer_info(ExportConfig(tokenizer=str(file)))
    assert (info.vocab_size, info.hidden_id, info.padded_vocab_size) == (257, 257, 384)


def test_the_number_of_shards_follows_from_the_corpus_alone():
    assert shard_bytes(79_000_000, None) == 2**26
    assert shard_count(0, 2**26) == 1
    assert shard_count(79_000_000, 2**26) == 2
    assert shard_count(2**40, shard_bytes(2**40, None)) == 1024
    assert shard_count(2**45, shard_bytes(2**45, None)) == 8192, "at most 4 GiB each"
    assert shard_count(10_000, shard_bytes(10_000, 1500)) == 7


def test_exporting_before_masking_says_so(configure, tmp_path, spark):
    write_corpus(tmp_path / "source")
    with pytest.raises(InputError, match="run `tokensieve mask` first"):
        export.run(configure(), spark)
