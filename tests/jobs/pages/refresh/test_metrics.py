"""The exposition as the official parser reads it."""

from typing import Any

import pytest

from tests.jobs.refreshing.report_values import one_run, release, report_file, told
from tokensieve.jobs.pages.refresh.metrics import HELP, PREFIX, exposition

parser = pytest.importorskip("prometheus_client.parser", reason="the official parser of the format")
ROOT = 's3a://corpus\\"odd"\nplace'


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name without prefix and labels without the root; each has the root."""
    found = {}
    for family in parser.text_string_to_metric_families(text):
        assert (family.type, family.documentation) == ("gauge", HELP[family.name.removeprefix(PREFIX)])
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("root") == ROOT
            key = sample.name.removeprefix(PREFIX), tuple(sorted(labels.items()))
            assert key not in found, "a sample stands once"
            found[key] = sample.value
    return found


def parsed(*, release_made: bool = True, priced: bool = True, with_report: bool = True, **fields: Any):
    file = report_file() if with_report else None
    made = release() if release_made else None
    return samples(exposition({"root": ROOT}, told(file, **fields), made, tolerance=0.02, priced=priced))


def test_a_run_that_ended_well():
    found = parsed()
    expected = {
        ("last_success_timestamp_seconds", ()): one_run().ended_at.timestamp(),
        ("last_run_timestamp_seconds", ()): one_run().ended_at.timestamp(),
        ("last_new_source_timestamp_seconds", ()): release().made_at.timestamp(),
        ("state", (("state", "done"),)): 1,
        ("state", (("state", "failed"),)): 0,
        ("state", (("state", "nothing_new"),)): 0,
        ("exit_code", ()): 0,
        ("wall_seconds", ()): 1890,
        ("duration_seconds", (("step", "score"),)): 1500.5,
        ("duration_seconds", (("step", "release"),)): 0.125,
        ("documents", (("action", "drop"),)): 900,
        ("documents", (("action", "quarantine"),)): 100,
        ("quarantined_share", (("of", "written"),)): 0.004,
        ("quarantined_share", (("of", "all"),)): 0.01,
        ("quarantine_tolerance", ()): 0.02,
        ("sources", (("state", "new"),)): 2,
        ("sources", (("state", "broken"),)): 1,
        ("forget_share", (("policy", "medicine"),)): 0.035,
        ("forget_share", (("policy", "toxicity"),)): 0.005,
        ("drift_verdict", (("policy", "toxicity"), ("verdict", "alarm"))): 1,
        ("drift_verdict", (("policy", "medicine"), ("verdict", "no_reference"))): 1,
        ("tokens", ()): 25_000_000,
        ("loss_tokens", ()): 23_100_000,
        ("device_seconds", ()): 5_400,
        ("dollars", ()): 3.75,
        ("release_version", ()): 22,
    }
    assert {key: found[key] for key in expected} == expected
    assert found["drift_psi", (("policy", "toxicity"),)] == pytest.approx(1.79, abs=0.01)
    assert ("drift_psi", (("policy", "medicine"),)) not in found, "without a reference nothing is measured"
    assert ("documents", (("action", "in"),)) not in found, "actions sum to the documents"


def test_every_metric_has_a_sample_on_some_run():
    assert {name for name, _ in parsed()} == set(HELP)


def test_a_failed_run_keeps_what_stands_and_says_nothing_of_what_it_does_not_know():
    found = parsed(state="failed", exit_code=3, device=None, seconds={"score": 10.0}, gate=None)
    assert found["state", (("state", "failed"),)] == 1
    assert found["exit_code", ()] == 3
    assert found["release_version", ()] == 22
    assert found["last_success_timestamp_seconds", ()] == one_run().ended_at.timestamp()
    assert {"device_seconds", "dollars"}.isdisjoint({name for name, _ in found})
    assert ("quarantined_share", (("of", "written"),)) not in found


def test_the_first_run_fails_before_there_is_anything():
    found = parsed(
        release_made=False,
        with_report=False,
        state="failed",
        last_success_at=None,
        exit_code=2,
        device=None,
        gate=None,
        seconds={},
    )
    assert {name for name, _ in found} == {
        "last_run_timestamp_seconds",
        "state",
        "exit_code",
        "wall_seconds",
        "quarantine_tolerance",
    }


@pytest.mark.parametrize(("priced", "dollars"), [(True, 0), (False, None)])
def test_a_run_without_scoring_took_no_device_time(priced, dollars):
    found = parsed(state="nothing_new", device=None, seconds={}, gate=None, priced=priced)
    assert found["device_seconds", ()] == 0
    assert found.get(("dollars", ())) == dollars
