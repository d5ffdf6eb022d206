"""The recipes that ship are valid and of the size they say; settings that exclude each other are refused."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.pretrain.encoder.made import config
from tokensieve.jobs.config.load import load_section
from tokensieve.pretrain.encoder.config import EncoderConfig
from tokensieve.pretrain.encoder.trainer import learning_rate
from tokensieve.pretrain.training.config import OptimizerConfig


@pytest.mark.parametrize(
    ("name", "vocabulary", "outside", "steps"),
    [
        ("bilm-tiny", 8192, 787_584, 489),
        ("bilm-small", 8192, 10_621_824, 1221),
        ("masked-small", 8256, 21_243_264, 1221),
        ("bilm-224m", 100_288, 134_899_072, 54_873),
    ],
)
def test_the_recipes_have_the_size_they_say(name: str, vocabulary: int, outside: int, steps: int):
    recipe = load_section(EncoderConfig, f"encoders/{name}")
    assert recipe.name == name
    assert recipe.model.outside_embedding() == outside
    assert recipe.budget.steps(recipe.model.parameters(vocabulary), recipe.batch.step_tokens) == steps
    assert [source.share for source in recipe.sources] == [0.5, 0.5]


def test_the_papers_bilm_has_the_papers_parameters_and_budget():
    recipe = load_section(EncoderConfig, "encoders/bilm-224m")
    parameters = recipe.model.parameters(100_288)
    assert round(parameters / 1e6) == 225
    steps = recipe.budget.steps(parameters, recipe.batch.step_tokens)
    assert steps * recipe.batch.step_tokens == pytest.approx(80 * parameters, rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer": "t.json"}, "exactly one of tokenizer"),
        ({"kind": "masked", "half": "left"}, "a masked model has no halves"),
        ({"margin": 8}, "margin 8 must be less than half the context 16"),
        ({"budget": {}}, "exactly one of tokens and tokens_per_parameter"),
        ({"batch": {"context": 16, "step_tokens": 8, "microbatch_tokens": 16}}, "step_tokens 8 is less than one piece"),
        ({"sources": [{"name": "a", "path": "x", "share": 0.4}]}, "sum to 0.4, not to 1"),
        ({"sources": [{"name": "a", "path": "x", "share": 0.5}] * 2}, "two sources have one name"),
        ({"model": {"dim": 18, "layers": 1, "heads": 2, "hidden": 8}}, "twice the 2 heads"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, changes: dict, message: str):
    with pytest.raises(ValidationError, match=message):
        config(tmp_path, **changes)


def test_the_rate_warms_up_and_falls_along_a_cosine():
    settings = OptimizerConfig(lr=1.0)
    rates = [learning_rate(settings, step, 100) for step in range(100)]
    assert rates[:3] == [0.1, 0.2, 0.3]
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.55)
    assert rates[99] == pytest.approx(0.1, abs=1e-3)
    assert all(a >= b for a, b in zip(rates[10:-1], rates[11:]))


def test_the_rate_can_be_constant():
    settings = OptimizerConfig(lr=0.5, min_lr_ratio=1, warmup_fraction=0)
    assert {learning_rate(settings, step, 7) for step in range(7)} == {0.5}
