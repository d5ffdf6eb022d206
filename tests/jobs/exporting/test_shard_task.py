"""A task of the export holds its tokenizer against the reference on the first documents of every shard."""

import json

import pyarrow as pa

from tokensieve.jobs.exporting import shard_task
from tokensieve.jobs.exporting.shard_task import ShardTask, write_shards
from tokensieve.pretrain.shards.shard_info import TokenizerInfo
from tokensieve.udfs.deciding.decide_rows import SPAN_TYPE
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer


def batch(shards: list[int], texts: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            "shard": pa.array(shards, pa.int32()),
            "doc_id": pa.array([f"d{at}" for at in range(len(texts))]),
            "text": pa.array(texts),
            "forget_spans": pa.array([[]] * len(texts), pa.list_(SPAN_TYPE)),
            "source_file": pa.array(["f"] * len(texts)),
            "source_row": pa.array(range(len(texts)), pa.int64()),
        }
    )


def task(tmp_path, tokenizer) -> ShardTask:
    info = TokenizerInfo(file="tokenizer.json", sha256="", vocab_size=320, eod=0, hidden_id=1, padded_vocab_size=384)
    return ShardTask(
        staging=str(tmp_path),
        stems=("shard-a-000", "shard-a-001", "shard-b-000"),
        tokenizer=str(tokenizer),
        backend="tokenizers",
        info=info,
        hiding=frozenset(),
    )


def reports(task: ShardTask, *batches: pa.RecordBatch) -> list[dict]:
    (out,) = write_shards(task, batches)
    return [json.loads(report) for report in out.column("report").to_pylist()]


def test_every_shards_first_documents_are_compared_and_later_ones_are_not(tmp_path, tokenizer, monkeypatch):
    compared = []
    monkeypatch.setattr(ByteTokenizer, "difference", lambda _, texts: compared.append(texts.to_pylist()))
    monkeypatch.setattr(shard_task, "SAMPLE_BYTES", 5)
    first, second = batch([0, 0, 0, 1], ["abc", "def", "ghi", "jkl"]), batch([1, 1], ["mnopq", "rst"])
    found = reports(task(tmp_path, tokenizer), first, second)
    assert [(report["at"], report["documents"], report["differs"]) for report in found] == [(0, 3, None), (1, 3, None)]
    assert compared == [["abc", "def"], ["jkl"], ["mnopq"]]


def test_a_shard_whose_sample_differs_is_given_up_and_said(tmp_path, tokenizer, monkeypatch):
    def difference(_, texts):
        return "text 0, near 'jkl'" if "jkl" in texts.to_pylist() else None

    monkeypatch.setattr(ByteTokenizer, "difference", difference)
    found = reports(task(tmp_path, tokenizer), batch([0, 1, 2], ["abc", "jkl", "xyz"]))
    assert [(report["at"], report["differs"]) for report in found] == [(0, None), (1, "text 0, near 'jkl'")]
