"""Planted words fire their latents, and what the model cannot read does not pass for silent."""

import numpy as np
import pytest
import torch

from tests.corpora import sentence
from tests.tiny_sae import STRONG, WEAK, TinySae, plant
from tokensieve.udfs.sae.latents import Latents, LatentSettings
from tokensieve.udfs.sae.model import ModelSettings
from tokensieve.udfs.sae.slice import SaeError

pytest.importorskip("transformers")
pytest.importorskip("sae_lens")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinySae:
    texts = [sentence(at) for at in range(20)]
    return plant(tmp_path_factory.mktemp("tiny"), texts, strong=["aspirin"], weak=["took", "headache"])


@pytest.fixture(scope="module")
def settings(tiny: TinySae, tmp_path_factory: pytest.TempPathFactory) -> LatentSettings:
    from sae_lens import SAE

    from tokensieve.jobs.labelling.sae.export import cut

    path = tmp_path_factory.mktemp("slice") / "slice.safetensors"
    kept = cut(SAE.load_from_disk(tiny.sae), tiny.latents)
    kept.save(path)
    model = ModelSettings(model=str(tiny.model), token_budget=100)
    return LatentSettings(slice_path=str(path), slice_id=kept.slice_id, latents=None, model=model)


def test_firings_are_the_planted_words_in_the_order_of_tokens(settings):
    latents = Latents(settings)
    found = latents(["rain took aspirin for the old bridge", "quiet headache"])
    words = [latents._residual.tokenizer.decode([int(found.tokens.ids_T[at])]).strip() for at in found.position_N]
    ids = latents.slice.latent_id_K[found.column_N].tolist()
    assert list(zip(words, ids, strict=True)) == [
        ("took", WEAK[0]),
        ("aspirin", STRONG[0]),
        ("aspirin", STRONG[1]),
        ("headache", WEAK[0]),
    ]
    assert np.abs(found.value_N - 10).max() < 1.5
    assert found.failed == {}


def test_some_latents_of_a_slice_can_be_asked_for(settings):
    latents = Latents(LatentSettings(**{**vars(settings), "latents": WEAK}))
    found = latents(["rain took aspirin"])
    assert found.column_N.tolist() == [0]


def test_text_with_values_that_are_not_finite_is_failed_and_its_neighbours_are_not(settings):
    latents = Latents(settings)
    before = latents(["took aspirin"])
    at = int(latents._residual.tokenizer.encode([" bridge"]).ids_T[-1])
    with torch.no_grad():
        latents._residual._model.embed_tokens.weight[at] = float("nan")
    found = latents(["aspirin at the bridge", "took aspirin"])
    assert found.failed == {0: "non_finite: the model gave NaN or infinity"}
    assert found.column_N.tolist() == before.column_N.tolist()
    assert found.value_N.tolist() == pytest.approx(before.value_N.tolist())


def test_another_slice_than_planned_is_refused(settings):
    with pytest.raises(SaeError, match="but the job was planned with 0123"):
        Latents(LatentSettings(**{**vars(settings), "slice_id": "0123"}))
