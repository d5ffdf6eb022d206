import pyarrow as pa

from udfs.scoring.flips import decision_flips


def rows(*scores: bytes, first: int = 0) -> pa.RecordBatch:
    values = pa.array([{"token_scores": one} for one in scores], pa.struct([("token_scores", pa.binary())]))
    numbers = pa.array(range(first, first + len(scores)), pa.int64())
    return pa.RecordBatch.from_pydict({"source_row": numbers, "p": values})


def test_decisions_that_differ_are_counted_at_the_threshold():
    ours, theirs = (
        rows(bytes([127, 128, 200]), b"", bytes([0, 128])),
        rows(bytes([128, 128, 100]), b"", bytes([5, 255])),
    )
    assert decision_flips(ours, theirs, "p", 0.5) == (2, 5)
    assert decision_flips(ours, ours, "p", 0.5) == (0, 5)
    assert [decision_flips(ours, theirs, "p", end) for end in (0.0, 1.0)] == [(0, 5), (0, 5)]


def test_only_rows_that_both_have_are_compared():
    ours = rows(bytes([0]), bytes([200, 200]), bytes([0, 0, 0]))
    theirs = rows(bytes([0, 200]), first=1)
    assert decision_flips(ours, theirs, "p", 0.5) == (1, 2)
    assert decision_flips(ours, rows(first=9), "p", 0.5) == (0, 0)
