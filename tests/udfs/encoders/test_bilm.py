"""The biLM has a right side: released code trains and runs both halves left to right, and its rotation cancels."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from tokensieve.pretrain.classifier.apply import Walk, token_values
from tokensieve.udfs.encoders.encoder import build
from tokensieve.udfs.tokenizing.tokenizer import Tokenized

SHAPE = {"type": "bilm", "vocab_size": 50, "dim": 16, "heads": 2, "hidden": 32, "layers": [1, 3]}
LEFT, RIGHT = [*range(16), *range(32, 48)], [*range(16, 32), *range(48, 64)]


@pytest.fixture(scope="module")
def encoder() -> torch.nn.Module:
    torch.manual_seed(0)
    made = build(SHAPE).eval().requires_grad_(False)
    # Fresh weights attend to everything alike; larger ones tell positions apart, so that a mistake would show.
    for name, weight in made.named_parameters():
        if name.endswith("qkv.weight"):
            weight.mul_(1.5)
    return made


def ids(count: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(0, 50, (count,), generator=torch.Generator().manual_seed(seed))


def alone(encoder: torch.nn.Module, ids_T: torch.Tensor) -> torch.Tensor:
    return encoder(ids_T, torch.tensor([0, len(ids_T)]))


def felt(encoder: torch.nn.Module, at: int, columns: list[int]) -> list[bool]:
    """Which of 20 tokens' features change in these columns when token `at` changes."""
    ids_T = ids(20)
    changed_T = ids_T.clone()
    changed_T[at] = (changed_T[at] + 1) % 50
    difference_TD = (alone(encoder, ids_T) - alone(encoder, changed_T)).abs()
    return (difference_TD[:, columns].amax(dim=1) > 0).tolist()


def test_a_later_token_changes_an_earlier_ones_right_features_and_not_its_left_ones(encoder):
    assert felt(encoder, 12, LEFT) == [False] * 12 + [True] * 8
    assert felt(encoder, 12, RIGHT) == [True] * 13 + [False] * 7


def test_the_right_half_reads_the_document_from_its_end(encoder):
    """The features of a text and of its mirror image, by an encoder whose halves are exchanged, are the same."""
    other = build(SHAPE).eval()
    swapped = {"left": "right", "right": "left"}
    state = {
        f"{swapped[half]}.{rest}": v for key, v in encoder.state_dict().items() for half, rest in [key.split(".", 1)]
    }
    other.load_state_dict(state)
    ids_T = ids(20)
    mirrored = alone(other, ids_T.flip(0)).flip(0)
    torch.testing.assert_close(alone(encoder, ids_T)[:, LEFT], mirrored[:, RIGHT], atol=1e-5, rtol=0)
    torch.testing.assert_close(alone(encoder, ids_T)[:, RIGHT], mirrored[:, LEFT], atol=1e-5, rtol=0)


@pytest.mark.parametrize("lengths", [[1], [9, 1, 1, 30], [5, 0, 61, 7]])
def test_packed_features_equal_those_of_every_document_alone(encoder, lengths):
    bounds_D1 = torch.tensor([0, *np.cumsum(lengths)])
    ids_T = ids(sum(lengths))
    expected = torch.cat([alone(encoder, ids_T[a:b]) for a, b in pairwise(bounds_D1.tolist())])
    torch.testing.assert_close(encoder(ids_T, bounds_D1), expected, atol=1e-5, rtol=0)


def test_a_changed_token_does_not_reach_the_neighbouring_documents(encoder):
    ids_T, bounds_D1 = ids(30), torch.tensor([0, 10, 20, 30])
    changed_T = ids_T.clone()
    changed_T[15] = (changed_T[15] + 1) % 50
    same_T = (encoder(ids_T, bounds_D1) == encoder(changed_T, bounds_D1)).all(dim=1)
    assert same_T.tolist() == [True] * 10 + [False] * 10 + [True] * 10


@pytest.mark.parametrize(("columns", "at"), [(LEFT, 19), (RIGHT, 0)])
def test_exchanging_two_far_tokens_changes_the_features_of_a_third(encoder, columns, at):
    """Without positions each half would see the same set of tokens on its side."""
    ids_T = ids(20)
    ids_T[3], ids_T[9] = 7, 8
    changed_T = ids_T.clone()
    changed_T[3], changed_T[9] = 8, 7
    difference_D = (alone(encoder, ids_T) - alone(encoder, changed_T))[at, columns].abs()
    assert difference_D.max() > 1e-3


def test_each_layer_gives_its_left_and_right_half_in_the_order_chosen(encoder):
    assert encoder.dim == 64
    other = build(SHAPE | {"layers": [3, 1]}).eval()
    other.load_state_dict(encoder.state_dict())
    ids_T = ids(9)
    found = alone(other, ids_T)
    assert torch.equal(found, torch.cat([alone(encoder, ids_T)[:, 32:], alone(encoder, ids_T)[:, :32]], dim=1))


def test_blocks_above_the_highest_layer_are_not_built():
    keys = build(SHAPE | {"layers": [2]}).state_dict().keys()
    assert {key.split(".blocks.")[1][0] for key in keys if ".blocks." in key} == {"0", "1"}


@pytest.mark.parametrize("layers", [[], [0], [2, 2], ["1"]])
def test_layers_must_be_different_blocks(layers):
    with pytest.raises(ValueError, match="layers must be different blocks, counted from 1"):
        build(SHAPE | {"layers": layers})


def test_a_windowed_document_does_not_depend_on_what_it_is_packed_with(encoder):
    """Windows of an encoder without a finite reach differ from the whole document, but are the same in every pack."""
    document = ids(150).numpy().astype(np.int32)
    one = Tokenized(ids_T=document, bytes_T=document, bounds_D1=np.array([0, 150]), failed={})
    many = np.concatenate([document, document[:7], document[:64]])
    three = Tokenized(ids_T=many, bytes_T=many, bounds_D1=np.array([0, 150, 157, 221]), failed={})
    values = [
        token_values(encoder, lambda x_PD: x_PD, tokens, 64, Walk(window=64, margin=16, token_budget=budget))
        for tokens, budget in ((one, 64), (three, 64), (three, 1000))
    ]
    np.testing.assert_allclose(values[1][:150], values[0], atol=1e-5)
    np.testing.assert_allclose(values[2], values[1], atol=1e-5)
    whole = alone(encoder, torch.from_numpy(document).long()).numpy()
    assert np.abs(whole - values[0]).max() > 1e-3


def test_both_halves_learn(encoder):
    fresh = build(SHAPE)
    alone(fresh, ids(40)).square().sum().backward()
    learning = {name for name, weight in fresh.named_parameters() if weight.grad is not None}
    assert {name for name, _ in fresh.named_parameters()} - learning == {"left.norm.weight", "right.norm.weight"}
