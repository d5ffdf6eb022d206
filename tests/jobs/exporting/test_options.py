"""Options of the export: splits by document, a score companion that serves every threshold, a copy elsewhere."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.corpora import write_corpus
from tokensieve.jobs import export, mask, score, verify
from tokensieve.jobs.config.corpus import load_config
from tokensieve.jobs.errors import ConfigError, InputError
from tokensieve.jobs.exporting import run_tasks
from tokensieve.jobs.exporting.shard_task import ShardReport
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.shards.shard import ShardReader
from tokensieve.pretrain.shards.verify import verify_shards
from tokensieve.udfs.scores.stored_scores import grid_threshold
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer


@pytest.fixture(scope="module")
def masked(tmp_path_factory, bundle, spark) -> Path:
    """A folder with scored and masked documents, made once."""
    folder = tmp_path_factory.mktemp("masked")
    write_corpus(folder / "source")
    (folder / "corpus.yaml").write_text(
        f"source: {{path: {folder / 'source'}}}\n"
        f"tables: {{root: {folder / 'tables'}}}\n"
        f"policies: {{medicine: {{definition: medicine, bundle: {bundle.path}}}}}\n"
    )
    config = load_config(str(folder / "corpus.yaml"))
    score.run(config, spark)
    mask.run(config, spark)
    return folder


@pytest.fixture
def corpus(masked, configure, tmp_path):
    """A copy of them; makes configurations for it."""
    for name in ("source", "tables"):
        shutil.copytree(masked / name, tmp_path / name)
    return configure


def documents(folder: Path) -> dict[str, dict]:
    """Every exported document by its id: its row of the index, its split, ids, mask and scores."""
    found = {}
    for shard in Manifest.load(folder).shards:
        reader = ShardReader(folder / shard.prefix)
        for row in pq.read_table(folder / shard.docs).to_pylist():
            start = int(reader.starts_D[row["index"]])
            part = slice(start, start + int(reader.lengths_D[row["index"]]))
            scores = None if shard.score_counts is None else reader.scores_T[part].tolist()
            ids, loss = reader.ids_T[part].tolist(), reader.loss_mask_T[part].tolist()
            found[row["doc_id"]] = row | {"split": shard.split, "ids": ids, "loss": loss, "scores": scores}
    return found


def test_a_document_stays_in_its_split_when_documents_are_added_and_shares_grow(corpus, spark, tmp_path):
    config = corpus("export.splits.valid=0.2", "export.splits.test=0.1", "export.shard_text_bytes=1500")
    result = export.run(config, spark)
    assert result["splits"] == {"train": 19, "valid": 2, "test": 3}
    assert verify.run(config)["documents"] == 24
    first = {doc_id: row["split"] for doc_id, row in documents(config.shards).items()}
    write_corpus(tmp_path / "source", files=3)
    score.run(config, spark)
    mask.run(config, spark)
    export.run(config, spark)
    second = {doc_id: row["split"] for doc_id, row in documents(config.shards).items()}
    assert len(second) == 36
    assert {doc_id: second[doc_id] for doc_id in first} == first
    more = corpus("export.splits.valid=0.4", "export.splits.test=0.1")
    export.run(more, spark)
    third = {doc_id: row["split"] for doc_id, row in documents(more.shards).items()}
    assert {doc_id for doc_id in second if second[doc_id] == "valid"} < {
        doc_id for doc_id in third if third[doc_id] == "valid"
    }
    assert {doc_id for doc_id in second if second[doc_id] == "test"} == {
        doc_id for doc_id in third if third[doc_id] == "test"
    }


def test_a_split_that_gets_no_document_and_splits_that_take_all_are_refused(corpus, spark):
    with pytest.raises(InputError, match=r"export.splits.test: a share of 1e-06 of so few documents is none"):
        export.run(corpus("export.splits.test=0.000001"), spark)
    with pytest.raises(ConfigError, match="leave nothing to train on"):
        corpus("export.splits.test=0.5", "export.splits.valid=0.5")


def test_the_index_says_how_much_of_a_document_is_forgotten_and_how_it_scores(corpus, spark):
    config = corpus()
    export.run(config, spark)
    rows = {row["doc_id"]: row for row in config.tables.table("masked").read(spark).collect()}
    scored = {
        row["doc_id"]: row["medicine"]["doc_score"] for row in config.tables.table("scores").read(spark).collect()
    }
    found = documents(config.shards)
    assert len(found) == 24
    for doc_id, row in found.items():
        expected = rows[doc_id]["forget_bytes"] / len(rows[doc_id]["text"].encode())
        assert row["forget_share"] == pytest.approx(expected, rel=1e-6)
        assert row["doc_score_medicine"] == pytest.approx(scored[doc_id], rel=1e-6)
    assert any(row["forget_share"] for row in found.values())


def test_the_score_companion_gives_the_mask_of_any_threshold_and_changes_nothing_else(
    corpus, spark, tmp_path, other_bundle
):
    both = (
        f"policies.other={{definition: toxicity, bundle: {other_bundle.path}, rule: {{threshold: 0.8}}}}",
        "policies.medicine.rule.threshold=0.6",
    )
    config = corpus(*both)
    score.run(config, spark)
    mask.run(config, spark)
    export.run(config, spark)
    plain = documents(config.shards)
    assert Manifest.load(config.shards).inputs.scores is None
    with_scores = corpus(*both, "export.scores=medicine")
    export.run(with_scores, spark)
    manifest = Manifest.load(with_scores.shards)
    assert manifest.inputs.scores == "medicine"
    assert verify_shards(manifest, with_scores.shards) == []
    found = documents(with_scores.shards)
    counts = np.bincount(np.concatenate([row["scores"] for row in found.values()]), minlength=256)
    named = np.array([shard.score_counts for shard in manifest.shards])
    assert named.sum(axis=0).tolist() == counts.tolist()
    assert counts[255] > 0, "the other policy forgets something at every threshold"
    for doc_id, row in found.items():
        same = ("ids", "loss", "index", "forget_share", "doc_score_medicine", "doc_score_other")
        assert {name: row[name] for name in same} == {name: plain[doc_id][name] for name in same}
        assert row["scores"][-1] == 0, "eod"
        assert [int(value < grid_threshold(0.6)) for value in row["scores"]] == row["loss"]
    other = corpus(*both, "policies.medicine.rule.threshold=0.9")
    mask.run(other, spark)
    export.run(other, spark)
    for doc_id, row in documents(other.shards).items():
        assert [int(value < grid_threshold(0.9)) for value in found[doc_id]["scores"]] == row["loss"]


def test_scores_of_no_policy_or_of_one_that_hides_are_refused(corpus, spark):
    with pytest.raises(ConfigError, match=r"export.scores: no policy 'nonsense', only medicine"):
        export.run(corpus("export.scores=nonsense"), spark)
    hiding = corpus("export.scores=medicine", "policies.medicine.rule.action=hide")
    mask.run(hiding, spark)
    with pytest.raises(ConfigError, match="policy medicine hides, and ids that are hidden"):
        export.run(hiding, spark)


def test_a_back_end_that_differs_on_the_corpus_is_replaced_by_the_reference_and_says_why(corpus, spark, monkeypatch):
    pytest.importorskip("gigatoken")
    config = corpus()
    fast = export.run(config, spark)
    assert (fast["tokenized_by"], fast["passed_over"]) == ("gigatoken", {})
    before = {file.name: file.read_bytes() for file in config.shards.glob("shard-*")}
    asked = []

    def reports(rows, task):
        asked.append(task.backend)
        if task.backend == "gigatoken":
            return [ShardReport(at=0, prefix="", differs="text 3, near 'x'")]
        return original(rows, task)

    original = run_tasks.shard_reports
    monkeypatch.setattr(run_tasks, "shard_reports", reports)
    slow = export.run(corpus("export.whole=true"), spark)
    assert asked == ["gigatoken", "tokenizers"]
    assert (slow["tokenized_by"], slow["passed_over"]) == ("tokenizers", {"gigatoken": "text 3, near 'x'"})
    assert {file.name: file.read_bytes() for file in config.shards.glob("shard-*")} == before
    with pytest.raises(InputError, match="gigatoken makes other tokens than the reference: text 3"):
        export.run(corpus("export.backend=gigatoken", "export.whole=true"), spark)


def test_gpt2s_two_files_are_exported_as_one_file_that_is_read_again(corpus, spark, shared_data):
    config = corpus(f"export.tokenizer={shared_data / 'tokenizer'}")
    export.run(config, spark)
    manifest = Manifest.load(config.shards)
    assert manifest.tokenizer.file == f"tokenizer-{manifest.tokenizer.sha256[:12]}.json"
    assert (manifest.tokenizer.eod, manifest.tokenizer.hidden_id) == (50256, 50257)
    copy = ByteTokenizer.load(config.shards / manifest.tokenizer.file)
    assert copy.sha256 == manifest.tokenizer.sha256
    rows = config.tables.table("masked").read(spark).where("doc_id = 'doc-003'").collect()
    assert copy.decode(documents(config.shards)["doc-003"]["ids"]) == rows[0]["text"] + "<|endoftext|>"


def test_the_shard_set_is_copied_and_the_copy_is_the_same_corpus(corpus, spark, tmp_path):
    target = tmp_path / "copy"
    result = export.run(corpus(f"export.to=file://{target}"), spark)
    assert result["copied"]["files"] == 8, "a shard's five, groups, tokenizer, manifest"
    assert Manifest.load(target).id == result["manifest"]
    assert verify_shards(Manifest.load(target), target) == []
