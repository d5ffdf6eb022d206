import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.udfs.scores.stored_scores import (
    binary_array,
    decode_lengths,
    dequantize,
    encode_lengths,
    flat_bytes,
    grid_threshold,
    probabilities,
    quantize_logits,
)


def test_the_grid_is_sixteenths_around_128_and_saturates_at_both_ends():
    assert quantize_logits(np.array([0, 1 / 16, -1 / 16, 1, -8, 7.9375, 100, -100])).tolist() == [
        128, 129, 127, 144, 0, 255, 255, 0,
    ]  # fmt: skip


@given(st.lists(st.floats(-8, 7.9), max_size=50))
def test_a_stored_logit_is_off_by_at_most_half_a_step(logits):
    stored = dequantize(quantize_logits(np.array(logits)))
    assert np.all(np.abs(stored - logits) <= 1 / 32 + 1e-6)


@pytest.mark.parametrize("probability", [0.001, 0.18597136437892914, 0.5, 0.9, 0.999])
def test_the_grid_threshold_is_the_first_value_at_or_above_the_probability(probability):
    cut = grid_threshold(probability)
    grid = probabilities(np.arange(256, dtype=np.uint8))
    assert grid[cut] >= probability - 1e-6
    assert grid[cut - 1] < probability


def test_one_half_is_grid_value_128_and_a_threshold_above_the_grid_selects_nothing():
    assert grid_threshold(0.5) == 128
    assert grid_threshold(0.9999) == 256


@pytest.mark.parametrize("probability", [0.0, 1.0, -1.0, 2.0])
def test_a_threshold_outside_the_open_interval_is_refused(probability):
    with pytest.raises(ValueError, match="between 0 and 1"):
        grid_threshold(probability)


def test_lengths_take_one_byte_a_token_and_long_ones_continue_after_255():
    column = encode_lengths(np.array([3, 0, 254, 255, 256, 511]), np.array([0, 2, 2, 6]))
    assert column.to_pylist() == [b"\x03\x00", b"", b"\xfe" + b"\xff\x00" + b"\xff\x01" + b"\xff\xff\x01"]


@given(st.lists(st.lists(st.integers(0, 2000), max_size=20), min_size=1, max_size=8), st.integers(0, 3))
def test_lengths_come_back_as_they_were_also_from_a_slice_and_sum_to_the_text(documents, cut):
    lengths = np.array([length for document in documents for length in document], dtype=np.int64)
    bounds = np.concatenate([[0], np.cumsum([len(document) for document in documents])])
    column = encode_lengths(lengths, bounds)
    assert [sum(value) for value in column.to_pylist()] == [sum(document) for document in documents]
    part = column.slice(min(cut, len(documents)))
    decoded, decoded_bounds = decode_lengths(part)
    kept = documents[min(cut, len(documents)) :]
    assert [decoded[a:b].tolist() for a, b in zip(decoded_bounds[:-1], decoded_bounds[1:])] == kept


def test_a_null_is_refused_and_never_read_as_a_document_without_tokens():
    with pytest.raises(ValueError, match="1 of 2 values are null"):
        flat_bytes(pa.array([b"x", None], pa.binary()))


def test_binary_columns_are_built_without_copying_the_bytes():
    data = np.arange(6, dtype=np.uint8)
    column = binary_array(data, np.array([0, 2, 2, 6]))
    assert column.to_pylist() == [b"\x00\x01", b"", b"\x02\x03\x04\x05"]
    assert column.buffers()[2].address == data.ctypes.data
