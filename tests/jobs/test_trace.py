"""A trace of one document by literal values, and of documents that stop at an earlier station."""

import json
import os
from itertools import pairwise
from types import SimpleNamespace

import pytest
import xxhash

from tests.jobs.capitals import capitals_config, run_verbs, write_documents
from tokensieve.jobs import trace
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.exporting.read_back import Shards
from tokensieve.jobs.tracing.batch import run as batch_of

LOUD = "the word PENICILLIN is loud, and so is DNA, the rest is not."
DOCUMENTS = {
    "doc-loud": LOUD,
    "doc-calm": "nothing here is loud, so nothing is forgotten. " * 6,
    "doc-shout": "ALL OF THIS IS LOUD",
    "doc-nothing": None,
    "doc-escape": "\x1b[2J clears a TERMINAL\u202e",
}
PRETRAIN = (
    "pretrain={device: cpu, seq_length: 16, micro_batch_size: 1, global_batch_size: 2, steps: 3, "
    "model: {layers: 1, hidden_size: 8, heads: 1}}"
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, repository, spark):
    folder = tmp_path_factory.mktemp("trace")
    write_documents(folder / "source", DOCUMENTS)
    config = capitals_config(folder, repository, PRETRAIN)
    run_verbs(config, spark)
    return SimpleNamespace(config=config, source=folder / "source", folder=folder)


@pytest.fixture(scope="module")
def loud(corpus, spark):
    pytest.importorskip("megatron.core", reason="megatron-core is not installed")
    return trace.run(corpus.config, spark, "doc-loud")


def test_the_raw_row_is_read_back_and_its_hash_checked(corpus, loud):
    file = corpus.source / "part-0.parquet"
    version = f"{file.stat().st_size}-{file.stat().st_mtime_ns}"
    digest = xxhash.xxh3_128_hexdigest(LOUD.encode())
    assert loud["raw"] == {
        "file": "part-0.parquet", "row": 0, "path": str(file), "version_then": version, "version_now": version,
        "text_bytes": 60, "text_hash_then": digest, "text_hash_now": digest, "begins": LOUD, "fault": None,
    }  # fmt: skip


def test_the_scores_are_the_classifiers_with_the_text_of_the_highest_tokens(loud):
    scores = loud["scores"]["capitals"]
    assert (scores["tokens"], scores["flags"]) == (60, [])
    # 13 capitals of logit 4 and 47 other bytes of logit -4: the mean is -34 / 15.
    assert scores["doc_score"] == pytest.approx(0.0939, abs=1e-4)
    assert scores["highest"] == [{"text": letter, "score": 0.982} for letter in "PENICLDA"]


def test_the_decision_has_every_span_with_its_text(loud):
    assert loud["masked"] == {
        "action": "mask",
        "forget_bytes": 13,
        "rule_id": loud["masked"]["rule_id"],
        "spared": {},
        "forget_spans": [
            {"start": 9, "end": 19, "policy": "capitals", "text": "PENICILLIN"},
            {"start": 39, "end": 42, "policy": "capitals", "text": "DNA"},
        ],
    }


def test_the_shard_has_the_document_and_its_tokens_without_loss(corpus, loud):
    shards = Shards(corpus.config.shards)
    shard = loud["shard"]
    assert shard["manifest"] == shards.manifest.id
    assert [run["text"].strip() for run in shard["without_loss"]] == ["PENICILLIN", "DNA"]
    ids = [*shards.tokenizer.encode([LOUD]).ids_T.tolist(), 0]
    exported = shards.manifest.shards[0]
    assert (shard["shard"], shard["tokens"]) == (exported.prefix, len(ids))
    without = sum(run["end"] - run["first"] for run in shard["without_loss"])
    assert shard["loss_tokens"] == len(ids) - without


def test_the_training_samples_give_the_labels_and_the_loss_mask_of_the_shard(loud):
    training, shard = loud["training"], loud["shard"]
    assert (training["samples_in_run"], training["seq_length"]) == (6, 16)
    pieces = sorted(training["pieces"], key=lambda piece: piece["first"])
    assert all(piece["agrees_with_shard"] for piece in pieces)
    assert [piece["step"] for piece in pieces] == [
        piece["sample"] // 2 if piece["sample"] < 6 else None for piece in pieces
    ]
    ends = [(piece["first"], piece["end"]) for piece in pieces]
    assert ends[0][0] == 0
    assert all(after[0] == before[1] - 1 for before, after in pairwise(ends))  # neighbours share one id
    if ends[-1][1] == shard["tokens"] and pieces[0]["at"] > 0:
        assert sum(piece["labels"] for piece in pieces) == shard["tokens"]
        assert sum(piece["loss_labels"] for piece in pieces) == shard["loss_tokens"]


def test_the_lines_name_all_stations_and_the_rest_is_json(loud):
    headings = [line for line in loud["lines"] if not line.startswith(" ")]
    assert headings == [
        "document doc-loud", "1 raw row", "2 scores", "3 masked", "4 shard", "5 training samples",
    ]  # fmt: skip
    assert "    capitals    9:19 'PENICILLIN'" in loud["lines"]
    assert json.loads(json.dumps(loud, allow_nan=False))["doc_id"] == "doc-loud"


def test_a_dropped_document_ends_at_the_mask(corpus, spark):
    found = trace.run(corpus.config, spark, "doc-shout")
    assert found["masked"]["action"] == "drop"
    assert found["shard"] == {"missing": "dropped documents are in no shard"}
    assert "training" not in found


def test_a_quarantined_document_shows_its_reason_and_what_its_row_holds_now(corpus, spark):
    found = trace.run(corpus.config, spark, "doc-nothing")
    assert found["quarantine"]["reason"] == "null_text"
    assert (found["raw"]["row"], found["raw"]["fault"]) == (3, "holds no text but NoneType")
    assert "scores" not in found
    assert "! quarantine" in found["lines"]


def test_no_escape_sequence_of_a_document_reaches_the_terminal(corpus, spark):
    lines = "\n".join(trace.run(corpus.config, spark, "doc-escape")["lines"])
    assert "\x1b" not in lines
    assert "\u202e" not in lines
    assert "␛[2J clears a TERMINAL" in lines


def test_an_unknown_id_is_refused_and_near_ones_are_named(corpus, spark):
    with pytest.raises(InputError, match=r"no document has the id 'doc-lou'; near it: 'doc-loud'") as error:
        trace.run(corpus.config, spark, "doc-lou")
    assert error.value.exit_code == 2
    with pytest.raises(InputError, match="never scored, or is of another corpus"):
        trace.run(corpus.config, spark, "zebra")


def test_a_source_that_changed_since_is_called_out(corpus, spark, tmp_path, repository):
    changed = write_documents(tmp_path / "source", DOCUMENTS | {"doc-loud": "another text"})
    os.utime(changed / "part-0.parquet", ns=(0, 0))
    bundle = corpus.config.policies["capitals"].bundle
    root = corpus.config.tables.root
    moved = (f"policies.capitals.bundle={bundle}", f"tables.root={root}")
    config = capitals_config(tmp_path, repository, *moved)
    found = trace.run(config, spark, "doc-loud")
    assert found["raw"]["version_now"].endswith("-0")
    assert found["raw"]["begins"] == "another text"
    assert any("was scored" in line for line in found["lines"])

    (changed / "part-0.parquet").unlink()
    gone = trace.run(config, spark, "doc-loud")
    assert gone["raw"]["fault"] == "the file is no longer there"
    assert gone["training"] == {"missing": "the configuration has no section `pretrain`"}


@pytest.fixture(scope="module")
def batch(corpus):
    pytest.importorskip("megatron.core", reason="megatron-core is not installed")
    return batch_of(corpus.config, step=1, rank=0)


def test_a_training_batch_leads_back_to_documents_and_their_bytes(corpus, batch):
    texts = {name: (text or "").encode() for name, text in DOCUMENTS.items()}
    assert {part["sample"] for part in batch["parts"]} == {2, 3}
    tokenizer = Shards(corpus.config.shards).tokenizer
    for part in batch["parts"]:
        first, end = part["bytes"]
        assert part["source_file"] == "part-0.parquet"
        assert list(DOCUMENTS).index(part["doc_id"]) == part["source_row"]
        # The bytes are those of the tokens: tokenized by themselves they may merge otherwise, never into more.
        covered = texts[part["doc_id"]][first:end]
        assert len(tokenizer.encode([covered.decode()]).ids_T) <= part["tokens"][1] - part["tokens"][0]
    assert sum(part["labels"] for part in batch["parts"]) == 2 * 16
    every = [part for step in range(3) for part in batch_of(corpus.config, step, rank=0)["parts"]]
    assert {part["doc_id"] for part in every if part["loss_labels"] < part["labels"]} <= {"doc-loud", "doc-escape"}
    assert any(part["loss_labels"] < part["labels"] for part in every)


def test_a_document_and_a_batch_name_each_other(batch, corpus, spark):
    for part in batch["parts"]:
        pieces = trace.run(corpus.config, spark, part["doc_id"])["training"]["pieces"]
        assert (part["sample"], *part["tokens"]) in {(one["sample"], one["first"], one["end"]) for one in pieces}


def test_a_step_or_a_rank_that_the_run_does_not_have_is_refused(corpus, batch):
    with pytest.raises(InputError, match="step 3: the run has steps 0 to 2"):
        batch_of(corpus.config, step=3, rank=0)
    with pytest.raises(InputError, match="rank 1 of 1 processes that did step 0"):
        batch_of(corpus.config, step=0, rank=1)


def test_a_batch_is_shared_as_the_processes_of_the_run_shared_it(corpus, batch):
    out = corpus.config.tables.folder / "pretrain"
    out.mkdir(exist_ok=True)
    start = {"tensor": 1, "pipeline": 1, "micro_batch_size": 1, "global_batch_size": 2}
    starts = [{"first_step": 0, "processes": 1, **start}, {"first_step": 1, "processes": 2, **start}]
    (out / "processes.jsonl").write_text("".join(json.dumps(one) + "\n" for one in starts))
    try:
        shares = [{part["sample"] for part in batch_of(corpus.config, step=1, rank=rank)["parts"]} for rank in (0, 1)]
        whole = {part["sample"] for part in batch_of(corpus.config, step=0, rank=0)["parts"]}
    finally:
        (out / "processes.jsonl").unlink()
    assert (shares, whole) == ([{2}, {3}], {0, 1})
