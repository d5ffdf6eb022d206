"""What a refresh's devices took and cost."""

import pytest

from tokensieve.jobs.config.score import CostConfig
from tokensieve.jobs.refreshing.run_log import device_use
from tokensieve.jobs.releases.refresh_run import DeviceUse

FIGURES = {"devices": 2, "device_s": 1_800.0, "tokens_per_s": 100.0, "idle_share": 0.1}


@pytest.mark.parametrize(("price", "dollars"), [(None, None), (3.0, 1.5)])
def test_seconds_of_devices_cost_what_an_hour_costs(price, dollars):
    expected = DeviceUse(devices=2, tokens_per_s=100.0, device_s=1_800.0, dollars=dollars)
    assert device_use(FIGURES, CostConfig(dollars_per_device_hour=price)) == expected


def test_a_run_that_scored_nothing_took_none():
    assert device_use(None, CostConfig(dollars_per_device_hour=3.0)) is None
