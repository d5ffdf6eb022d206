"""The packed transformer: positions matter, documents do not see each other, a causal one sees no later token."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional

from tokensieve.udfs.encoders.transformer import SHAPES, Transformer, TransformerConfig

CONFIG = TransformerConfig(vocab_size=50, dim=16, layers=3, heads=2, hidden=32, causal=True)


def made(config: TransformerConfig = CONFIG) -> Transformer:
    torch.manual_seed(0)
    return Transformer(config)


def weight(model: Transformer, name: str) -> torch.nn.Parameter:
    return model.get_parameter(f"{name}.weight")


def ids(count: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(0, 50, (count,), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=[True, False], ids=["causal", "both sides"])
def model(request) -> Transformer:
    return made(replace(CONFIG, causal=request.param)).requires_grad_(False)


def alone(model: Transformer, ids_T: torch.Tensor, layer: int = 3) -> torch.Tensor:
    return model(ids_T, torch.tensor([0, len(ids_T)]), [layer])[0]


@pytest.mark.parametrize("lengths", [[1], [0, 5, 5, 0], [9, 1, 1, 30], [5, 0, 61, 7, 7, 7]])
def test_packed_features_equal_those_of_every_document_alone(model, lengths):
    bounds_D1 = torch.tensor([0, *np.cumsum(lengths)])
    ids_T = ids(sum(lengths))
    expected = torch.cat([alone(model, ids_T[a:b]) for a, b in pairwise(bounds_D1.tolist()) if b > a])
    torch.testing.assert_close(model(ids_T, bounds_D1, [3])[0], expected, atol=1e-5, rtol=0)


def test_a_changed_token_reaches_no_other_document(model):
    ids_T, bounds_D1 = ids(30), torch.tensor([0, 13, 30])
    changed_T = ids_T.clone()
    changed_T[12] = (changed_T[12] + 1) % 50
    before, after = model(ids_T, bounds_D1, [3])[0], model(changed_T, bounds_D1, [3])[0]
    assert torch.equal(before[13:], after[13:])
    assert not torch.equal(before[12], after[12])


def test_only_a_bidirectional_one_feels_a_later_token(model):
    ids_T = ids(20)
    changed_T = ids_T.clone()
    changed_T[10] = (changed_T[10] + 1) % 50
    felt_T = (alone(model, ids_T) - alone(model, changed_T)).abs().amax(dim=1) > 1e-6
    assert felt_T.tolist() == [not model.config.causal] * 10 + [True] * 10


def test_attention_depends_on_the_distance_between_two_tokens():
    """Rotary angles that follow the head and not the position cancel: then a set of earlier tokens has no order."""
    model = made().requires_grad_(False)
    for at in range(3):
        weight(model, f"blocks.{at}.qkv").mul_(2)
    near, far = torch.tensor([7, 7, 7, 3, 9]), torch.tensor([3, 7, 7, 7, 9])
    difference = (
        model.logits(model(near, torch.tensor([0, 5]))[0])[4] - model.logits(model(far, torch.tensor([0, 5]))[0])[4]
    )
    assert difference.abs().max() > 1e-2
    one_block = made(replace(CONFIG, layers=1, causal=False)).requires_grad_(False)
    weight(one_block, "blocks.0.qkv").mul_(2)
    assert (alone(one_block, near, 1)[4] - alone(one_block, far, 1)[4]).abs().max() > 1e-3


def test_attention_is_that_of_a_direct_computation():
    """One block by hand: RMS norm, rotated heads, softmax over the left side, squared ReLU."""
    model = made(replace(CONFIG, layers=1)).double().requires_grad_(False)
    qkv, out, up, down = (weight(model, f"blocks.0.{name}").T for name in ("qkv", "out", "up", "down"))
    ids_T = ids(6)
    x_TD = model.embedding.weight[ids_T]
    q_THE, k_THE, v_THE = (_rms(x_TD) @ qkv).view(6, 3, 2, 8).unbind(1)
    angle_TE = torch.arange(6.0)[:, None] * 10_000.0 ** (-torch.arange(4.0) / 4)
    turn_TE = torch.polar(torch.ones_like(angle_TE), angle_TE).to(torch.complex128)[:, None]
    q, k = (torch.complex(x[..., :4], x[..., 4:]) * turn_TE for x in (q_THE, k_THE))
    scores_HTT = torch.einsum("the,she->hts", q, k.conj()).real / 8**0.5
    weights_HTT = scores_HTT.masked_fill(torch.ones(6, 6).triu(1).bool(), -torch.inf).softmax(-1)
    x_TD = x_TD + torch.einsum("hts,she->the", weights_HTT, v_THE).reshape(6, 16) @ out
    x_TD = x_TD + functional.relu(_rms(x_TD) @ up) ** 2 @ down
    torch.testing.assert_close(alone(model, ids_T, 1), x_TD, atol=1e-6, rtol=0)


def _rms(x_TD: torch.Tensor) -> torch.Tensor:
    return x_TD / (x_TD.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()


def test_positions_restart_in_every_document(model):
    ids_T = ids(1000)
    long = torch.cat([ids_T, ids_T[:20]])
    packed = model(long, torch.tensor([0, 1000, 1020]), [3])[0]
    torch.testing.assert_close(packed[1000:], alone(model, ids_T[:20]), atol=1e-5, rtol=0)


def test_layers_come_in_the_order_asked_for_and_the_last_has_no_final_norm(model):
    bounds_D1, ids_T = torch.tensor([0, 9]), ids(9)
    one, three = model(ids_T, bounds_D1, [1])[0], model(ids_T, bounds_D1, [3])[0]
    third_first = model(ids_T, bounds_D1, [3, 1])
    assert torch.equal(third_first[0], three)
    assert torch.equal(third_first[1], one)
    (normed,) = model(ids_T, bounds_D1)
    assert torch.equal(normed, model.norm(three))
    assert model.logits(normed).shape == (9, 50)


@pytest.mark.parametrize("layers", [[], [0], [4], [1, 9]])
def test_layers_that_are_not_there_are_refused(model, layers):
    with pytest.raises(ValueError, match="must be some of 1 to 3"):
        model(ids(3), torch.tensor([0, 3]), layers)


def test_every_weight_learns_and_the_fresh_loss_is_that_of_a_guess():
    model, ids_T = made(), ids(400)
    (x_TD,) = model(ids_T, torch.tensor([0, 150, 300, 400]))
    loss = functional.cross_entropy(model.logits(x_TD[:-1]), ids_T[1:])
    loss.backward()
    assert loss.item() == pytest.approx(np.log(50), abs=0.1)
    assert all(part.grad is not None and part.grad.abs().sum() > 0 for part in model.parameters())


def test_there_are_no_biases_and_the_output_is_the_embedding():
    model = made()
    assert [name for name, _ in model.named_parameters() if "bias" in name] == []
    assert sum(part.numel() for part in model.parameters()) == 50 * 16 + 3 * (4 * 256 + 2 * 16 * 32 + 32) + 16


def test_no_tokens_give_no_features(model):
    empty = torch.zeros(0, dtype=torch.long)
    assert [x.shape for x in model(empty, torch.tensor([0]), [1, 3])] == [(0, 16), (0, 16)]
    assert model(empty, torch.tensor([0, 0]))[0].shape == (0, 16)


def test_bfloat16_keeps_far_positions_exact():
    """Angles and their tables stay in float32: in bfloat16 alone, position 900 would be off by whole turns."""
    model = made(replace(CONFIG, causal=False)).requires_grad_(False)
    ids_T = ids(1000)
    full = alone(model, ids_T)
    half = alone(model.to(torch.bfloat16), ids_T)
    assert half.dtype == torch.bfloat16
    relative_T = (half.float() - full).norm(dim=1) / full.norm(dim=1)
    assert relative_T.max() < 0.05
    assert relative_T[900:].mean() < 1.5 * relative_T[:100].mean()


def test_shapes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="multiple of twice the 4 heads"):
        replace(CONFIG, dim=12, heads=4)
    with pytest.raises(ValueError, match="must be at least 1"):
        replace(CONFIG, layers=0)


def test_the_papers_sizes_are_what_their_names_say():
    """With the paper's vocabulary, and the embedding counted once (the output is tied)."""
    for name, shape in SHAPES.items():
        config = TransformerConfig(vocab_size=100_256, causal=True, **shape)
        blocks = config.layers * (4 * config.dim**2 + 2 * config.dim * config.hidden)
        assert (blocks + config.vocab_size * config.dim) / 1e6 == pytest.approx(float(name.removesuffix("M")), rel=0.04)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gpu_gives_features_and_gradients_of_the_cpu(model, dtype):
    bounds_D1, ids_T = torch.tensor([0, 60, 60, 61, 90]), ids(90)
    model.requires_grad_(True)
    expected = model(ids_T, bounds_D1, [3])[0]
    expected.square().sum().backward()
    wanted = weight(model, "blocks.0.qkv").grad
    other = made(model.config)
    other.load_state_dict(model.state_dict())
    found = other.to("cuda", dtype)(ids_T.cuda(), bounds_D1.cuda(), [3])[0]
    found.square().sum().backward()
    gradient = weight(other, "blocks.0.qkv").grad
    assert wanted is not None
    assert gradient is not None
    tolerance = 1e-3 if dtype == torch.float32 else 0.1
    assert (found.float().cpu() - expected).norm() < tolerance * expected.norm()
    assert (gradient.float().cpu() - wanted).norm() < tolerance * wanted.norm()
