import numpy as np
import pyarrow as pa

from tokensieve.udfs.scores.stored_scores import binary_array, encode_lengths
from tokensieve.udfs.scoring.cascade import Cascade
from tokensieve.udfs.scoring.judge_rows import judge_rows
from tokensieve.udfs.scoring.score_plan import POLICY_TYPE


def test_forget_tokens_and_stretches_are_counted_per_document_and_policy():
    lengths = np.array([300, 1, 1, 1] + [1] * 96, dtype=np.int64)  # 100 tokens, the first of 300 bytes
    bounds = np.array([0, 4, 4, 100])
    scores = np.array([200, 100, 199, 0] + [200] * 3 + [0] * 93, dtype=np.uint8)
    children = [
        pa.array(["b"] * 3),
        encode_lengths(lengths, bounds),
        binary_array(scores, bounds),
        pa.array([0.5, None, 0.25], pa.float32()),
        pa.array([0] * 3, pa.int32()),
        pa.array([None, None, 0.25], pa.float32()),
    ]
    batch = pa.RecordBatch.from_arrays([pa.StructArray.from_arrays(children, fields=list(POLICY_TYPE))], names=["m"])
    cascade = Cascade(share=0.05, stretch=5, least=2, thresholds=(("m", 0.5),))
    (found,) = judge_rows([("m", 199)], cascade, [batch])
    assert found.to_pylist() == [
        {"policy": "m", "probe": None, "forget": 2, "tokens": 4, "probed": 0},
        {"policy": "m", "probe": None, "forget": 0, "tokens": 0, "probed": 0},
        {"policy": "m", "probe": 0.25, "forget": 3, "tokens": 96, "probed": 10},
    ]
