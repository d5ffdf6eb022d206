"""Frozen features on disk: the right numbers in the right rows, and a bound on memory."""

import numpy as np
import pytest
import torch

from tests.bundles import small_tokenizer
from tests.planted import planted
from tokensieve.pretrain.classifier import apply
from tokensieve.pretrain.classifier.apply import Walk, token_values
from tokensieve.pretrain.classifier.draw_tokens import DrawConfig, draw_tokens
from tokensieve.pretrain.classifier.frozen_features import extract
from tokensieve.udfs.encoders.encoder import build
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer, Tokenized

SHAPE = {"type": "bilm", "vocab_size": 600, "dim": 8, "heads": 2, "hidden": 16}
WALK = Walk(window=32, margin=4)


@pytest.fixture(scope="module")
def documents():
    return planted(9, words=60)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory, documents) -> ByteTokenizer:
    return ByteTokenizer.load(small_tokenizer(tmp_path_factory.mktemp("features") / "tokenizer.json", documents.texts))


def _encoder(layers: list[int]) -> torch.nn.Module:
    torch.manual_seed(0)
    encoder = build({**SHAPE, "layers": [1, 2]})
    if layers != [1, 2]:
        state = {name: weight for name, weight in encoder.state_dict().items()}
        encoder = build({**SHAPE, "layers": layers})
        encoder.load_state_dict({name: state[name] for name in encoder.state_dict()})
    return encoder.eval().requires_grad_(False)


def test_rows_are_the_features_of_the_drawn_tokens_layer_by_layer(tmp_path, documents, tokenizer):
    drawn = draw_tokens(documents, tokenizer, DrawConfig(window=20, per_window=5), seed=0)
    made = extract(
        _encoder([1, 2]), [1, 2], tokenizer, documents, drawn, walk=WALK, folder=tmp_path, precision="float32"
    )
    assert made.layers[1].shape == made.layers[2].shape == (len(drawn), 16)
    tokens = tokenizer.encode(documents.texts)
    at = tokens.bounds_D1[drawn.document_N] + drawn.position_N
    for layer in (1, 2):
        alone = token_values(_encoder([layer]), lambda x_PD: x_PD, tokens, 16, WALK)
        np.testing.assert_allclose(made.layers[layer], alone[at], atol=1e-5)
        means = [alone[a:b].mean(axis=0) for a, b in zip(tokens.bounds_D1[:-1], tokens.bounds_D1[1:], strict=True)]
        np.testing.assert_allclose(made.pooled[layer], means, atol=1e-5)


def test_few_documents_at_a_time_give_the_same_rows(tmp_path, documents, tokenizer, monkeypatch):
    drawn = draw_tokens(documents, tokenizer, DrawConfig(), seed=0)
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()

    def made(name: str) -> np.ndarray:
        encoder = _encoder([1, 2])
        return extract(encoder, [1, 2], tokenizer, documents, drawn, walk=WALK, folder=tmp_path / name).layers[2]

    whole = made("whole")
    monkeypatch.setattr(apply, "_VALUES", 100 * 32)
    np.testing.assert_allclose(made("parts"), whole, atol=2e-3)
    assert whole.dtype == np.float16
    assert (tmp_path / "whole" / "layer-2.npy").stat().st_size >= len(drawn) * 16 * 2


def test_parts_hold_the_budget_and_lose_no_document():
    tokens = Tokenized(
        ids_T=np.arange(20, dtype=np.int32),
        bytes_T=np.ones(20, dtype=np.int32),
        bounds_D1=np.array([0, 3, 6, 6, 16, 20]),
        failed={},
    )
    found = [part.bounds_D1.tolist() for part in apply.parts(tokens, 6)]
    assert found == [[0, 3, 6, 6], [0, 10], [0, 4]]
    assert np.concatenate([part.ids_T for part in apply.parts(tokens, 6)]).tolist() == list(range(20))


def test_features_that_half_precision_cannot_hold_are_refused(tmp_path, documents, tokenizer):
    drawn = draw_tokens(documents, tokenizer, DrawConfig(), seed=0)
    encoder = _encoder([1, 2])
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.mul_(1000)
    with pytest.raises(ValueError, match=r"layer 1 .* not finite in float16.*encoder.precision"):
        extract(encoder, [1, 2], tokenizer, documents, drawn, walk=WALK, folder=tmp_path)
