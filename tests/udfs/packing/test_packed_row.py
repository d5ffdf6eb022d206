"""What a packed row says of its documents, and attention that keeps to them."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from tokensieve.udfs.encoders.attention import attend
from tokensieve.udfs.packing.packed_row import PackedRow

CPU = torch.device("cpu")


def test_a_row_knows_its_documents_and_leaves_out_empty_ones():
    row = PackedRow(torch.tensor([0, 3, 3, 6, 8]), CPU)
    assert (row.total, row.longest, row.lengths_D.tolist()) == (8, 3, [3, 3, 2])
    assert row.groups == [(2, 3), (1, 2)]
    assert row.bounds_D1.tolist() == [0, 3, 6, 8]
    assert row.bounds_D1.dtype == torch.int32
    assert row.position_T.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert row.document_T.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]


def test_a_row_without_tokens_is_empty():
    row = PackedRow(torch.tensor([0, 0]), CPU)
    assert (row.total, row.longest, row.groups, row.mirror_T.tolist()) == (0, 0, [], [])


def test_mirror_reverses_every_document_in_its_place():
    rows_T = PackedRow(torch.tensor([0, 3, 3, 4, 8]), CPU).mirror_T
    assert rows_T.tolist() == [2, 1, 0, 3, 7, 6, 5, 4]
    assert rows_T[rows_T].tolist() == list(range(8))


def test_near_tokens_are_those_within_reach_in_the_same_document():
    near_BwK = PackedRow(torch.tensor([0, 3, 5]), CPU).near(2)
    assert near_BwK.shape == (3, 2, 6)
    seen = [[k - 2 + 2 * (t // 2) for k in near_BwK.view(6, 6)[t].nonzero()[:, 0].tolist()] for t in range(6)]
    assert seen == [[0, 1, 2], [0, 1, 2], [0, 1, 2], [3, 4], [3, 4], [5]]


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any),
    causal=st.booleans(),
    reach=st.sampled_from([None, 1, 5, 60]),
)
def test_attention_is_that_of_every_document_alone_under_a_plain_mask(lengths, causal, reach):
    reach = None if causal else reach
    bounds_D1 = torch.tensor([0, *torch.tensor(lengths).cumsum(0)])
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, sum(lengths), 2, 8, generator=generator).unbind()
    expected = []
    for first, end in pairwise(bounds_D1.tolist()):
        apart = torch.arange(end - first)[:, None] - torch.arange(end - first)
        seen = (apart >= 0) if causal else apart.abs() <= (reach or 100)
        one = (x[first:end].transpose(0, 1) for x in (q, k, v))
        expected.append(functional.scaled_dot_product_attention(*one, attn_mask=seen, scale=0.4).transpose(0, 1))
    found = attend(q, k, v, PackedRow(bounds_D1, CPU), causal=causal, reach=reach, scale=0.4)
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=0)


def test_causal_attention_with_a_reach_is_refused():
    row = PackedRow(torch.tensor([0, 3]), CPU)
    q_THE = torch.zeros(3, 2, 8)
    with pytest.raises(ValueError, match="causal attention with a reach"):
        attend(q_THE, q_THE, q_THE, row, causal=True, reach=1)
