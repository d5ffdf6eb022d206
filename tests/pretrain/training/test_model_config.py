import math

import pytest
from omegaconf import OmegaConf
from pydantic import ValidationError

from tokensieve.pretrain.training.model_config import ModelConfig
from tokensieve.udfs.files.installed import conf_folder

LADDER = {
    "paper-13m": 13.2,
    "paper-29m": 28.8,
    "paper-61m": 61.8,
    "paper-113m": 113.3,
    "paper-224m": 224.7,
    "paper-521m": 521.6,
    "paper-1030m": 1030.8,
    "paper-1816m": 1816.1,
}


def config(**changes) -> ModelConfig:
    return ModelConfig.model_validate({"layers": 2, "hidden_size": 32, "heads": 4, **changes})


@pytest.mark.parametrize(("name", "millions"), LADDER.items())
def test_the_ladder_has_the_papers_parameter_counts(name, millions):
    preset = OmegaConf.load(conf_folder() / "pretrain" / f"{name}.yaml")
    model = ModelConfig.model_validate(OmegaConf.to_container(preset.model))
    assert round(model.parameters(100_256) / 1e6, 1) == millions
    assert model.mup is not None
    assert model.mup.base_width == 256


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 64 * 32 + 2 * (4 * 32 * 32 + 2 * 32 * 128 + 2 * 32) + 32),
        ({"family": "llama"}, 64 * 32 + 2 * (4 * 32 * 32 + 3 * 32 * 128 + 2 * 32) + 32),
        (
            {"family": "llama", "kv_heads": 2, "ffn_hidden_size": 96, "tie_embeddings": False},
            2 * 64 * 32 + 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 96 + 2 * 32) + 32,
        ),
    ],
)
def test_parameters_by_hand(changes, expected):
    assert config(**changes).parameters(64) == expected


def test_llamas_ffn_is_eight_thirds_of_the_width_up_to_a_multiple_of_64():
    assert [config(family="llama", hidden_size=width, heads=4).ffn for width in (192, 448, 896)] == [512, 1216, 2432]
    assert config(hidden_size=448).ffn == 1792


def test_flops_count_matrices_six_times_and_attention_twelve_times_layers_width_length():
    tied = config()
    assert tied.flops_per_token(64, 16) == 6 * tied.parameters(64) + 12 * 2 * 32 * 16
    untied = config(family="llama", tie_embeddings=False)
    looked_up = 64 * 32
    assert untied.flops_per_token(64, 16) == 6 * (untied.parameters(64) - looked_up) + 12 * 2 * 32 * 16


def test_scores_are_scaled_by_the_head_with_mup_and_by_its_root_without():
    assert config().softmax_scale == 1 / math.sqrt(8)
    assert config(mup={}).softmax_scale == 1 / 8
    assert (config().width_multiplier, config(mup={"base_width": 128}).width_multiplier) == (1.0, 0.25)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"heads": 3}, "hidden_size 32 is not a multiple of heads 3"),
        ({"heads": 32}, "rope needs an even head size, 32 / 32 is odd"),
        ({"family": "llama", "kv_heads": 3}, "heads 4 is not a multiple of kv_heads 3"),
        ({"kv_heads": 2}, "family paper has tied embeddings and no kv_heads"),
        ({"tie_embeddings": False}, "set family to llama"),
        ({"mup": {"base": 1}}, "Extra inputs are not permitted"),
    ],
)
def test_a_model_that_cannot_be_is_refused(changes, expected):
    with pytest.raises(ValidationError, match=expected):
        config(**changes)


def test_every_part_that_does_not_divide_is_named():
    model = config(family="llama", kv_heads=2, ffn_hidden_size=90, layers=3)
    assert model.split_reasons(tensor=1, pipeline=3, padded_vocab_size=63) == []
    assert model.split_reasons(tensor=4, pipeline=2, padded_vocab_size=66) == [
        "kv_heads 2 is not a multiple of parallel.tensor 4",
        "ffn_hidden_size 90 is not a multiple of parallel.tensor 4",
        "the padded vocabulary 66 is not a multiple of parallel.tensor 4",
        "layers 3 is not a multiple of parallel.pipeline 2",
    ]
