"""One document at every station, by literal values: raw row, scores, masked row, shard, training sample, trace.

The classifier (tests/jobs/capitals.py) has one token per byte and gives capital letters logit 4, all else -4; the
pretraining tokenizer here has one token per byte too, so that every number can be checked by counting letters.
"""

import numpy as np
import pyarrow.parquet as pq
import pytest
import xxhash

from tests.bundles import small_tokenizer
from tests.jobs.capitals import capitals_config, run_verbs, write_documents
from tokensieve.jobs import trace
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.shards.shard import ShardReader

TEXT = "He took ASPIRIN."  # 16 bytes; H alone is too short a run for the rule, bytes 8 to 15 are forgotten
EOD, HIDDEN = 0, 1
IDS = [41, 70, 222, 85, 80, 80, 76, 222, 34, 52, 49, 42, 51, 42, 47, 15, EOD]
MASK = [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]


@pytest.fixture(scope="module")
def config(tmp_path_factory, repository, spark):
    folder = tmp_path_factory.mktemp("one")
    write_documents(folder / "source", {"doc-a": TEXT})
    tokenizer = small_tokenizer(folder / "bytes.json", [], 258, special=("<|endoftext|>", "<|hidden|>"))
    made = capitals_config(folder, repository, f"export.tokenizer={tokenizer}", "export.pad_vocabulary_to=8")
    run_verbs(made, spark)
    return made


def row(config, spark, name: str) -> dict:
    (found,) = config.tables.table(name).read(spark).collect()
    return found.asDict(recursive=True)


def test_station_1_and_2_the_scores_row_repeats_the_raw_row_and_adds_one_score_a_byte(config, spark):
    found = row(config, spark, "scores")
    assert (found["doc_id"], found["id"], found["text"]) == ("doc-a", "doc-a", TEXT)
    assert (found["source_file"], found["source_row"]) == ("part-0.parquet", 0)
    assert found["text_hash"] == xxhash.xxh3_128_hexdigest(TEXT.encode())
    assert list(found["capitals"]["token_bytes"]) == [1] * 16
    assert list(found["capitals"]["token_scores"]) == [192] + [64] * 7 + [192] * 7 + [64]
    assert found["capitals"]["doc_score"] == pytest.approx(1 / (1 + np.exp(0)), abs=1e-6)  # 8 capitals of 16 bytes
    assert found["capitals"]["flags"] == 0


def test_station_3_the_masked_row_holds_byte_spans_and_the_action(config, spark):
    found = row(config, spark, "masked")
    assert found["forget_spans"] == [{"start": 8, "end": 15, "policy": "capitals"}]
    assert TEXT.encode()[8:15] == b"ASPIRIN"
    assert (found["action"], found["forget_bytes"], found["text"]) == ("mask", 7, TEXT)


def test_station_4_the_shard_holds_ids_mask_and_the_way_back(config):
    folder = config.shards
    manifest = Manifest.load(folder)
    (shard,) = manifest.shards
    reader = ShardReader(folder / shard.prefix)
    assert reader.ids(0).tolist() == IDS
    assert reader.loss_mask(0).tolist() == MASK
    assert (manifest.tokens, manifest.loss_tokens) == (17, 10)
    assert (manifest.tokenizer.eod, manifest.tokenizer.hidden_id) == (EOD, HIDDEN)
    assert (manifest.tokenizer.vocab_size, manifest.tokenizer.padded_vocab_size) == (258, 264)
    assert pq.read_table(folder / shard.docs).to_pylist() == [
        {
            "shard": shard.prefix,
            "index": 0,
            "doc_id": "doc-a",
            "source_file": "part-0.parquet",
            "source_row": 0,
            "forget_share": 0.4375,
            "doc_score_capitals": 0.5,
        }
    ]


def test_station_5_the_sample_masks_the_labels_that_are_forgotten_not_the_inputs(config):
    pytest.importorskip("megatron.core", reason="megatron-core is not installed")
    from tokensieve.pretrain.samples.training_samples import build_datasets

    sample = build_datasets(config.shards, seq_length=16, samples=1, seed=0)[0]
    assert sample["tokens"].tolist() == IDS[:16]
    assert sample["labels"].tolist() == IDS[1:]
    assert sample["loss_mask"].tolist() == MASK[1:]
    lost = [label for label, keep in zip(sample["labels"].tolist(), sample["loss_mask"].tolist()) if not keep]
    assert lost == [34, 52, 49, 42, 51, 42, 47], "A S P I R I N as labels; as inputs they stay in sight"


def test_hiding_replaces_the_same_ids_and_changes_nothing_else(config, repository, spark):
    folder = config.tables.folder.parent
    hiding = capitals_config(
        folder, repository, f"export.tokenizer={config.export.tokenizer}", "policies.capitals.rule.action=hide"
    )
    run_verbs(hiding, spark, ("mask", "export"))
    try:
        (shard,) = Manifest.load(hiding.shards).shards
        reader = ShardReader(hiding.shards / shard.prefix)
        assert reader.ids(0).tolist() == IDS[:8] + [HIDDEN] * 7 + IDS[15:]
        assert reader.loss_mask(0).tolist() == MASK
    finally:
        run_verbs(config, spark, ("mask", "export"))


def test_trace_tells_the_same_story(config, spark):
    found = trace.run(config, spark, "doc-a")
    assert found["raw"]["begins"] == TEXT
    assert found["raw"]["text_hash_now"] == found["raw"]["text_hash_then"]
    assert found["scores"]["capitals"]["tokens"] == 16
    assert found["masked"]["forget_spans"][0]["text"] == "ASPIRIN"
    assert any("ASPIRIN" in line for line in found["lines"])
