"""How a document's token scores are stored: one byte a token for the score, about one for the token's length.

Scores, not decisions, are what a table keeps, so the codec must lose little where thresholds are set: logits on a
fixed grid of 1/16 resolve both tails of the probability, which half floats of probabilities do not. What is traded
away is resolution beyond +-8 (probability 0.9997), where every score saturates.
"""

import math

import numpy as np
import pyarrow as pa

GRID_ZERO = 128
GRID_STEP = 1 / 16
CONTINUED = 255  # in `token_bytes`: add 255 and go on with the next byte


def quantize_logits(logits_T: np.ndarray) -> np.ndarray:
    """Puts logits on the grid: uint8 [T], `round(logit * 16) + 128` clipped to 0..255. Logits must be finite."""
    steps_T = np.rint(np.asarray(logits_T, dtype=np.float64) / GRID_STEP) + GRID_ZERO
    return np.clip(steps_T, 0, 255).astype(np.uint8)


def dequantize(scores_T: np.ndarray) -> np.ndarray:
    """The logits, float32 [T], that grid values uint8 [T] stand for."""
    return (scores_T.astype(np.float32) - GRID_ZERO) * np.float32(GRID_STEP)


def probabilities(scores_T: np.ndarray) -> np.ndarray:
    """Probabilities, float32 [T], of grid values uint8 [T]."""
    return (1 / (1 + np.exp(-dequantize(scores_T)))).astype(np.float32)


def grid_threshold(probability: float) -> int:
    """The smallest grid value whose probability is at least `probability`; 256 when none on the grid is.

    Raises ValueError outside the open interval 0..1.
    """
    if not 0 < probability < 1:
        raise ValueError(f"a threshold is a probability between 0 and 1, not {probability}")
    logit = math.log(probability / (1 - probability))
    return min(max(math.ceil(logit / GRID_STEP - 1e-9) + GRID_ZERO, 0), 256)


def decision_level(threshold: float) -> int:
    """The smallest grid value that a threshold calls forbidden: as `grid_threshold`, but 0 calls all so, and 1 none."""
    return grid_threshold(threshold) if 0 < threshold < 1 else 256 * int(threshold)


def encode_lengths(lengths_T: np.ndarray, bounds_D1: np.ndarray) -> pa.BinaryArray:
    """Packs token lengths in bytes, int [T], into one binary value per document.

    A length is `length // 255` bytes of 255 and one of `length % 255`: the bytes of a value sum to the document's
    UTF-8 length, and nearly every token costs one byte.
    """
    bytes_per_T = lengths_T // CONTINUED + 1
    ends_T = np.cumsum(bytes_per_T, dtype=np.int64)
    packed = np.full(int(ends_T[-1]) if len(ends_T) else 0, CONTINUED, dtype=np.uint8)
    packed[ends_T - 1] = lengths_T % CONTINUED
    starts_T1 = np.concatenate([[0], ends_T])
    return binary_array(packed, starts_T1[bounds_D1])


def decode_lengths(column: pa.BinaryArray) -> tuple[np.ndarray, np.ndarray]:
    """Token lengths int64 [T] and document bounds int64 [D+1] (in tokens) of a `token_bytes` column.

    Raises ValueError when the last length is cut off, or as `flat_bytes`.
    """
    packed, offsets_D1 = flat_bytes(column)
    continued = np.flatnonzero(packed == CONTINUED)  # hardly ever any: a token of 255 bytes or more
    if len(continued) and continued[-1] == len(packed) - 1:
        raise ValueError("token_bytes ends within a token's length: the scores table is damaged")
    lengths_T = (np.delete(packed, continued) if len(continued) else packed).astype(np.int64)
    np.add.at(lengths_T, continued - np.arange(len(continued)), CONTINUED)
    return lengths_T, offsets_D1 - np.searchsorted(continued, offsets_D1)


def binary_array(data: np.ndarray, bounds_D1: np.ndarray) -> pa.BinaryArray:
    """One binary value per document out of flat bytes uint8 and its bounds, without a copy of the bytes.

    Raises OverflowError past 2 GiB a batch, the limit of Arrow's binary type.
    """
    if len(data) >= 2**31:
        raise OverflowError(f"{len(data)} bytes in one batch: Arrow's binary columns hold less than 2 GiB")
    offsets = pa.py_buffer(np.ascontiguousarray(bounds_D1, dtype=np.int32))
    array = pa.BinaryArray.from_buffers(
        pa.binary(), len(bounds_D1) - 1, [None, offsets, pa.py_buffer(np.ascontiguousarray(data))]
    )
    assert isinstance(array, pa.BinaryArray)
    return array


def flat_bytes(column: pa.BinaryArray) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of a binary or string column as uint8 [P] and its bounds int64 [D+1], without a copy.

    Raises ValueError on a null: a document without scores must not pass as a clean one.
    """
    if column.null_count:
        raise ValueError(f"{column.null_count} of {len(column)} values are null where every document needs one")
    _, offsets, data = column.buffers()
    offsets_D1 = np.frombuffer(offsets, dtype=np.int32)[column.offset : column.offset + len(column) + 1]
    offsets_D1 = offsets_D1.astype(np.int64)
    if data is None or not len(offsets_D1):
        return np.empty(0, dtype=np.uint8), np.zeros(len(column) + 1, dtype=np.int64)
    flat = np.frombuffer(data, dtype=np.uint8)[offsets_D1[0] : offsets_D1[-1]]
    return flat, offsets_D1 - offsets_D1[0]
