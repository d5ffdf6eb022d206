"""The sliding encoder sees both sides within its reach, and nothing else."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch

from tokensieve.udfs.encoders.encoder import KINDS, build
from tokensieve.udfs.encoders.sliding import SlidingConfig
from tokensieve.udfs.packing.windows import gather, kept, packs, scatter, windows

SHAPE = {"type": "sliding", "vocab_size": 50, "dim": 16, "layers": 3, "heads": 2, "hidden": 24, "reach": 8}
FIELD = 3 * 8  # layers * reach: all that a token's feature may depend on


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    made = build(SHAPE).eval().requires_grad_(False)
    # Fresh weights are small; larger ones make attention matter, so that a leak would show.
    for weight in made.parameters():
        if weight.ndim == 2:
            weight.mul_(3)
    return made


def _ids(count: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(0, 50, (count,), generator=torch.Generator().manual_seed(seed))


def _alone(encoder, ids_T: torch.Tensor) -> torch.Tensor:
    return encoder(ids_T, torch.tensor([0, len(ids_T)]))


@pytest.mark.parametrize("lengths", [[1], [8], [9, 1, 1, 30], [5, 0, 61, 7], [200, 3]])
def test_packed_features_equal_unpacked_ones(encoder, lengths):
    bounds_D1 = torch.tensor([0, *np.cumsum(lengths)])
    ids_T = _ids(sum(lengths))
    alone = torch.cat([_alone(encoder, ids_T[a:b]) for a, b in pairwise(bounds_D1)])
    torch.testing.assert_close(encoder(ids_T, bounds_D1), alone, atol=1e-5, rtol=0)


def test_features_of_overlapping_windows_equal_those_of_the_whole_document(encoder):
    lengths_D = np.array([500, 40, 129])
    bounds_D1 = np.concatenate([[0], np.cumsum(lengths_D)])
    ids_T = _ids(int(bounds_D1[-1])).numpy()
    cut = windows(lengths_D, window=100, margin=FIELD)
    windowed_TD = np.zeros((len(ids_T), 16), dtype=np.float32)
    for pack in packs(cut.lengths_W, token_budget=256):
        ids_P, bounds_N1 = gather(ids_T, bounds_D1, cut, pack)
        values = encoder(torch.from_numpy(ids_P), torch.from_numpy(bounds_N1))
        scatter(values.numpy()[kept(cut, pack)[0]], bounds_D1, cut, pack, windowed_TD)
    whole = encoder(torch.from_numpy(ids_T), torch.from_numpy(bounds_D1)).numpy()
    np.testing.assert_allclose(windowed_TD, whole, atol=2e-5)


def test_a_margin_below_the_receptive_field_would_not_be_exact(encoder):
    """Guards the test above: were attention too short to reach over an edge, it could not fail."""
    ids_T = _ids(100)
    cut_off = _alone(encoder, ids_T[:60])
    assert (cut_off - _alone(encoder, ids_T)[:60]).abs().max() > 1e-3


@pytest.mark.parametrize("at", [40, 41, 47, 48])
def test_a_change_is_felt_by_every_token_within_the_receptive_field_and_no_other(encoder, at):
    ids_T = _ids(100)
    changed_T = ids_T.clone()
    changed_T[at] = (changed_T[at] + 1) % 50
    difference_T = (_alone(encoder, ids_T) - _alone(encoder, changed_T)).abs().amax(dim=1)
    felt = difference_T.nonzero()[:, 0]
    assert felt.min() == at - FIELD  # to the left: tokens before the change feel a token to their right
    assert felt.max() == at + FIELD


def test_a_changed_token_does_not_reach_the_neighbouring_document(encoder):
    ids_T, bounds_D1 = _ids(30), torch.tensor([0, 13, 30])
    changed_T = ids_T.clone()
    changed_T[12] = (changed_T[12] + 1) % 50
    before, after = encoder(ids_T, bounds_D1), encoder(changed_T, bounds_D1)
    assert torch.equal(before[13:], after[13:])
    assert not torch.equal(before[:13], after[:13])


def test_order_of_words_matters(encoder):
    ids_T = torch.arange(10)
    swapped_T = torch.tensor([0, 2, 1, 3, 4, 5, 6, 7, 8, 9])
    assert (_alone(encoder, ids_T)[9] - _alone(encoder, swapped_T)[9]).abs().max() > 1e-4


def test_bfloat16_is_close_to_float32():
    torch.manual_seed(0)
    full = build(SHAPE).eval().requires_grad_(False)
    ids_T, bounds_D1 = _ids(90), torch.tensor([0, 60, 90])
    expected = full(ids_T, bounds_D1)
    half = full.to(torch.bfloat16)(ids_T, bounds_D1)
    assert half.dtype == torch.bfloat16
    assert (half.float() - expected).abs().mean() < 0.02


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gpu_gives_the_features_of_the_cpu(encoder, dtype):
    ids_T, bounds_D1 = _ids(90), torch.tensor([0, 60, 90])
    expected = encoder(ids_T, bounds_D1)
    copy = build(SHAPE).eval()
    copy.load_state_dict(encoder.state_dict())
    found = copy.to("cuda", dtype)(ids_T.cuda(), bounds_D1.cuda()).float().cpu()
    assert (found - expected).abs().mean() < (1e-4 if dtype == torch.float32 else 0.1)


def test_no_tokens_give_no_features(encoder):
    assert encoder(torch.zeros(0, dtype=torch.long), torch.tensor([0, 0])).shape == (0, 16)


def test_unknown_type_is_refused_with_the_known_ones():
    assert list(KINDS) == ["bilm", "huggingface", "masked", "sliding"]
    with pytest.raises(
        ValueError, match=r"'gpt' is not known; the known types are: bilm, huggingface, masked, sliding"
    ):
        build({"type": "gpt"})
    with pytest.raises(ValueError, match="None is not known"):
        build({"vocab_size": 5})


def test_unknown_shape_key_is_refused():
    with pytest.raises(TypeError, match="widht"):
        build({"type": "sliding", "vocab_size": 5, "widht": 3})
    with pytest.raises(ValueError, match="multiple of twice the 4 heads"):
        SlidingConfig(vocab_size=5, dim=12, heads=4)


def test_listing_the_encoders_does_not_import_torch():
    code = (
        "import sys, tokensieve.udfs.encoders.encoder, tokensieve.udfs.bundles.bundle; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
