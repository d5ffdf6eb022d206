"""Which samples a process reads: Megatron's order of ranks, and the last start that a step belongs to."""

import pytest

from tokensieve.pretrain.training.step_share import Cut, cut_at


def cut(**changes) -> Cut:
    settings = {
        "first_step": 0,
        "processes": 8,
        "tensor": 2,
        "pipeline": 2,
        "micro_batch_size": 3,
        "global_batch_size": 12,
    }
    return Cut(**settings | changes)


def test_ranks_count_tensor_first_then_data_then_pipeline():
    assert [cut().data_rank(rank) for rank in range(8)] == [0, 0, 1, 1, 0, 0, 1, 1]
    with pytest.raises(ValueError, match="rank 8 of 8 processes"):
        cut().data_rank(8)


def test_every_sample_of_a_step_is_read_by_one_data_rank():
    assert cut().samples(1, 0) == [range(12, 15), range(18, 21)]
    assert cut().samples(1, 1) == [range(15, 18), range(21, 24)]


def test_a_step_belongs_to_the_last_start_that_did_it(tmp_path):
    assert cut_at(tmp_path, 0) is None
    cut(processes=4).write(tmp_path)
    cut(processes=8, first_step=10).write(tmp_path)
    cut(processes=2, tensor=1, first_step=6).write(tmp_path)  # went back to an earlier checkpoint
    found = [cut_at(tmp_path, step) for step in (0, 5, 6, 9, 10, 50)]
    assert [one.processes for one in found if one] == [4, 4, 2, 2, 2, 2]
    cut(processes=16).write(tmp_path)  # a new run in the same folder
    started = cut_at(tmp_path, 50)
    assert started is not None
    assert started.processes == 16
