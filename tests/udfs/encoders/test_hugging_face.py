"""Hugging Face encoders of three families, made at random on the spot: exact in packs, cut above the chosen block."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from tests.hugging_face import FAMILIES, model_content
from tokensieve.udfs.encoders.encoder import EncoderError, build
from tokensieve.udfs.encoders.hugging_face_attention import FAMILIES as FAMILIES_IN_ONE_ROW

transformers = pytest.importorskip("transformers")


@pytest.fixture(params=FAMILIES)
def config(request) -> dict:
    return {
        "type": "huggingface", "model": model_content(request.param), "layers": [3, 1], "before": [2], "after": [3],
    }  # fmt: skip


def made(config: dict) -> Any:
    torch.manual_seed(0)
    return build(config).eval().requires_grad_(False)


def ids(count: int) -> torch.Tensor:
    return torch.randint(8, 100, (count,), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("lengths", [[1], [30, 28, 25, 12, 12, 1], [5, 0, 60, 7]])
def test_packed_features_equal_those_of_every_document_alone(config, lengths):
    encoder, ids_T = made(config), ids(sum(lengths))
    bounds_D1 = torch.tensor([0, *torch.tensor(lengths).cumsum(0)])
    expected = [encoder(ids_T[a:b], torch.tensor([0, b - a])) for a, b in pairwise(bounds_D1.tolist())]
    torch.testing.assert_close(encoder(ids_T, bounds_D1), torch.cat(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES_IN_ONE_ROW)
def test_one_row_of_documents_gives_what_the_family_gives_every_document_alone(family):
    """Against the model itself under torch's own attention; a family whose attention reads on would differ."""
    config = {"type": "huggingface", "model": small_content(family), "layers": [2, 1], "before": [2, 4], "after": [3]}
    encoder, lengths = made(config), [30, 28, 12, 12, 0, 1]
    assert encoder.packed
    encoder.packed = False
    ids_T, bounds_D1 = ids(sum(lengths)), torch.tensor([0, *torch.tensor(lengths).cumsum(0)])
    expected = [encoder(ids_T[a:b], torch.tensor([0, b - a])) for a, b in pairwise(bounds_D1.tolist())]
    encoder.packed = True
    torch.testing.assert_close(encoder(ids_T, bounds_D1), torch.cat(expected), atol=1e-5, rtol=0)
    assert encoder.computed_rows(np.array(lengths)) == sum(lengths) + 5 * 3


def small_content(family: str) -> dict[str, Any]:
    own = {
        "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
        "eurobert": {"num_key_value_heads": 2, "mask_token_id": 4},
    }
    positions_from = {"pad_token_id": 1} if "roberta" in family or family == "camembert" else {}
    return {**model_content("modernbert"), "model_type": family, **own.get(family, {}), **positions_from}


def test_a_family_with_positions_of_its_own_is_padded_and_counts_its_padding():
    content = small_content("deberta-v2") | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
    encoder = made({"type": "huggingface", "model": content, "layers": [2], "before": [2], "after": [3]})
    lengths = [30, 28, 12, 12, 0, 1]
    ids_T, bounds_D1 = ids(sum(lengths)), torch.tensor([0, *torch.tensor(lengths).cumsum(0)])
    expected = [encoder(ids_T[a:b], torch.tensor([0, b - a])) for a, b in pairwise(bounds_D1.tolist())]
    torch.testing.assert_close(encoder(ids_T, bounds_D1), torch.cat(expected), atol=1e-5, rtol=0)
    assert not encoder.packed
    assert encoder.computed_rows(np.array(lengths)) == 2 * 32 + 2 * 14 + 3


def test_a_model_that_shares_its_keys_among_heads_or_reads_one_side_is_not_packed():
    shared = small_content("eurobert") | {"num_key_value_heads": 1}
    one_sided = small_content("bert") | {"is_decoder": True}
    for content in (shared, one_sided):
        assert not build({"type": "huggingface", "model": content, "layers": [1]}).packed


def test_a_feature_is_the_output_of_its_block_in_the_whole_model_without_the_outer_ids(config):
    encoder, ids_T = made(config), ids(9)
    deep = made(config | {"layers": [4]})
    state = deep.state_dict()
    encoder.load_state_dict({key: state[key] for key in encoder.state_dict()})
    row = torch.tensor([[2, *ids_T, 3]])
    states = deep.model(row, attention_mask=torch.ones_like(row), output_hidden_states=True).hidden_states
    expected = torch.cat([states[3], states[1]], dim=-1)[0, 1:-1]
    assert encoder.dim == 32
    torch.testing.assert_close(encoder(ids_T, torch.tensor([0, 9])), expected, atol=1e-5, rtol=0)


def test_blocks_above_the_highest_layer_and_pooling_are_not_built(config):
    shallow, deep = made(config | {"layers": [1]}), made(config | {"layers": [4]})
    assert len(shallow.state_dict()) < len(deep.state_dict())
    assert [key for key in deep.state_dict() if "pooler" in key] == []
    blocks = {part for key in shallow.state_dict() for part in key.split(".") if part.isdigit()}
    assert blocks == {"0"}


def test_both_sides_are_felt_and_no_neighbouring_document(config):
    encoder, ids_T, bounds_D1 = made(config), ids(30), torch.tensor([0, 10, 20, 30])
    changed_T = ids_T.clone()
    changed_T[15] = 7
    same_T = (encoder(ids_T, bounds_D1) == encoder(changed_T, bounds_D1)).all(dim=1)
    assert same_T.tolist() == [True] * 10 + [False] * 10 + [True] * 10


def test_a_token_with_the_padding_id_is_read_like_any_other():
    """Released code takes `id != 0` for the mask and so deletes a real token from the corpus."""
    encoder = made({"type": "huggingface", "model": model_content("bert"), "layers": [2]})
    ids_T = ids(9)
    ids_T[4] = encoder.model.config.pad_token_id
    others_T = ids_T.clone()
    others_T[4] = 50
    found, other = (encoder(x, torch.tensor([0, 9])) for x in (ids_T, others_T))
    assert found.shape == (9, 16)
    assert (found - other).abs().amax(dim=1).min() > 1e-6


@pytest.mark.parametrize(("family", "longest"), [("bert", 62), ("roberta", 60), ("modernbert", 62)])
def test_a_window_longer_than_the_positions_is_refused(family, longest):
    encoder = made({"type": "huggingface", "model": model_content(family), "layers": [1], "before": [2], "after": [3]})
    assert encoder.max_tokens == longest
    assert encoder(ids(longest), torch.tensor([0, longest])).shape == (longest, 16)
    with pytest.raises(ValueError, match=f"{longest + 1} tokens, but this model has positions for {longest}"):
        encoder(ids(longest + 1), torch.tensor([0, longest + 1]))


def test_gradients_reach_the_blocks_that_are_read(config):
    encoder = build(config)
    encoder(ids(20), torch.tensor([0, 12, 20])).square().sum().backward()
    without = [name for name, weight in encoder.named_parameters() if weight.grad is None]
    assert [name for name in without if "final_norm" not in name] == []


def test_no_tokens_give_no_features(config):
    empty = torch.zeros(0, dtype=torch.long)
    assert made(config)(empty, torch.tensor([0, 0])).shape == (0, 32)
    assert made(config)(empty, torch.tensor([0])).shape == (0, 32)


def test_what_is_not_known_is_refused_by_name():
    content = model_content("bert")
    with pytest.raises(EncoderError, match="layer 5 was chosen, but this bert model has the blocks 1 to 4"):
        build({"type": "huggingface", "model": content, "layers": [5]})
    with pytest.raises(EncoderError, match="no model of type 'bird'"):
        build({"type": "huggingface", "model": content | {"model_type": "bird"}, "layers": [1]})
    with pytest.raises(EncoderError, match="'t5' is an encoder and a decoder"):
        build({"type": "huggingface", "model": {"model_type": "t5", "num_hidden_layers": 2}, "layers": [1]})
    small = content | {"model_type": "albert", "embedding_size": 8}
    with pytest.raises(EncoderError, match="where AlbertModel keeps its 2 blocks is not known"):
        build({"type": "huggingface", "model": small, "layers": [2]})
