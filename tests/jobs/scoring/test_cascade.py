import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.jobs.config.score import CascadeConfig
from tokensieve.jobs.errors import ConfigError
from tokensieve.jobs.scoring.cascade import Judged, achieved, choose_threshold


def judged(probe, forget, tokens=None, probed=None) -> Judged:
    count = len(probe)
    return Judged(
        probe_D=np.array(probe, dtype=np.float64),
        forget_D=np.array(forget),
        tokens_D=np.array(tokens or [100] * count),
        probed_D=np.array(probed or [10] * count),
    )


def test_figures_of_a_cascade_by_hand():
    sample = judged([0.9, 0.2, np.inf, 0.1], [60, 30, 10, 0], [100, 200, 20, 280], [10, 15, 0, 15])
    assert achieved({"m": sample}, {"m": 0.5}) == {
        "documents": 4,
        "scanned": 2,
        "kept": {"m": 0.7},
        "saving": round(600 / (40 + 120), 3),
    }
    assert achieved({"m": sample}, {"m": 0.2})["kept"] == {"m": 1.0}
    nothing = judged([0.1, 0.1], [0, 0])
    assert achieved({"m": nothing}, {"m": 0.5})["kept"] == {"m": None}


def test_a_document_that_one_policy_scans_is_scanned_for_all():
    first = judged([0.9, 0.1], [5, 5])
    second = judged([0.1, 0.1], [8, 2])
    assert achieved({"a": first, "b": second}, {"a": 0.5, "b": 0.5})["kept"] == {"a": 0.5, "b": 0.8}


@given(
    documents=st.lists(st.tuples(st.floats(0, 1, width=32), st.integers(0, 50)), min_size=1, max_size=60),
    keep=st.floats(0.5, 0.999),
)
def test_the_chosen_threshold_keeps_what_was_asked_of_the_sample_nine_times_in_ten(documents, keep):
    probe, forget = zip(*documents)
    sample = judged(probe, forget)
    if not sum(forget):
        with pytest.raises(ConfigError, match="no forget token"):
            choose_threshold("m", sample, keep, 0)
        return
    threshold = choose_threshold("m", sample, keep, 0)
    rng, content = np.random.default_rng(0), 0
    for _ in range(200):
        chosen = rng.integers(0, len(probe), len(probe))
        total = sample.forget_D[chosen].sum()
        kept = sample.forget_D[chosen][sample.probe_D[chosen] >= threshold].sum()
        content += kept >= keep * total - 1e-9
    assert content >= 180 - 1


def test_a_clear_cut_sample_is_cut_between_its_two_kinds():
    sample = judged([0.9] * 500 + [0.1] * 500, [50] * 500 + [0] * 500)
    assert choose_threshold("m", sample, 0.99, 0) == pytest.approx(0.9, abs=1e-6)
    assert choose_threshold("m", sample, 0.99, 0) <= np.float32(0.9)


def test_the_two_samples_are_apart_and_of_the_asked_size():
    config = CascadeConfig(documents=100, seed=4)
    calibrate, check = (config.sampling(1000, calibrate=first) for first in (True, False))
    assert (calibrate.first, calibrate.last, calibrate.only) == (0.0, 0.1, True)
    assert (check.first, check.last, check.only) == (0.1, 0.2, False)
    small = config.sampling(10, calibrate=False)
    assert (small.first, small.last) == (0.5, 1.0)
