"""Histograms of a partition: every token and every scored document is counted once."""

import numpy as np
import pyarrow as pa

from tokensieve.udfs.scores.count_scores import count_scores, on_grid


def batch(scores: list[bytes], documents: list[float]) -> pa.RecordBatch:
    column = pa.StructArray.from_arrays(
        [pa.array(scores, pa.binary()), pa.array(documents, pa.float32(), from_pandas=True)],
        names=["token_scores", "doc_score"],
    )
    return pa.RecordBatch.from_pydict({"medicine": column})


def test_tokens_and_documents_of_all_batches_are_added():
    batches = [batch([b"\x00\x01\x01", b""], [0.5, float("nan")]), batch([b"\xff\x01"], [1.0])]
    (result,) = count_scores(["medicine"], iter(batches))
    row = result.to_pylist()[0]
    tokens_B, documents_B = (np.frombuffer(row[name], "<i8") for name in ("tokens", "documents"))
    assert (row["policy"], row["unscored"]) == ("medicine", 1)
    assert {at: int(tokens_B[at]) for at in tokens_B.nonzero()[0]} == {0: 1, 1: 3, 255: 1}
    assert {at: int(documents_B[at]) for at in documents_B.nonzero()[0]} == {128: 1, 255: 1}


def test_an_empty_partition_counts_nothing():
    (result,) = count_scores(["a", "b"], iter([]))
    assert [sum(row["tokens"]) for row in result.to_pylist()] == [0, 0]


def test_probabilities_land_on_the_grid_and_the_ends_saturate():
    assert on_grid(np.array([0.0, 0.5, 0.982014, 1.0, np.nan])).tolist() == [0, 128, 192, 255]
