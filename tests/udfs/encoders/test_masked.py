"""The masked-token encoder sees both sides of every token in its own document."""

from itertools import pairwise

import pytest
import torch

from tokensieve.udfs.encoders.encoder import build

SHAPE = {"type": "masked", "vocab_size": 50, "dim": 16, "heads": 2, "hidden": 32, "layers": [2, 1]}


@pytest.fixture(scope="module")
def encoder() -> torch.nn.Module:
    torch.manual_seed(0)
    return build(SHAPE).eval().requires_grad_(False)


def ids(count: int) -> torch.Tensor:
    return torch.randint(0, 50, (count,), generator=torch.Generator().manual_seed(1))


def test_every_token_of_the_document_feels_a_change_and_no_other_does(encoder):
    ids_T, bounds_D1 = ids(30), torch.tensor([0, 10, 20, 30])
    changed_T = ids_T.clone()
    changed_T[15] = (changed_T[15] + 1) % 50
    same_T = (encoder(ids_T, bounds_D1) == encoder(changed_T, bounds_D1)).all(dim=1)
    assert same_T.tolist() == [True] * 10 + [False] * 10 + [True] * 10


def test_packed_features_equal_those_of_every_document_alone(encoder):
    ids_T, bounds = ids(50), [0, 1, 1, 13, 50]
    expected = torch.cat([encoder(ids_T[a:b], torch.tensor([0, b - a])) for a, b in pairwise(bounds)])
    torch.testing.assert_close(encoder(ids_T, torch.tensor(bounds)), expected, atol=1e-5, rtol=0)


def test_features_are_the_chosen_layers_in_their_order(encoder):
    one = build(SHAPE | {"layers": [1]}).eval()
    state = encoder.state_dict()
    one.load_state_dict({key: state[key] for key in one.state_dict()})
    ids_T, bounds_D1 = ids(9), torch.tensor([0, 9])
    assert encoder.dim == 32
    assert torch.equal(encoder(ids_T, bounds_D1)[:, 16:], one(ids_T, bounds_D1))
    assert "both.blocks.1.qkv.weight" not in one.state_dict()


def test_layers_must_be_different_blocks():
    with pytest.raises(ValueError, match="layers must be different blocks"):
        build(SHAPE | {"layers": [1, 1]})
