"""Which encoder a recipe starts from."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.planted import planted, tiny_encoder
from tokensieve.pretrain.classifier.apply import Walk, token_values
from tokensieve.pretrain.classifier.backbone import EncoderConfig, load_backbone
from tokensieve.udfs.bundles.bundle import Bundle
from tokensieve.udfs.encoders.encoder import EncoderError
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_encoder(tmp_path_factory.mktemp("backbone") / "tiny", planted(6).texts)


def _given(**settings: object) -> EncoderConfig:
    return EncoderConfig.model_validate(settings)


def test_a_sweep_reads_every_layer_and_a_list_the_given_ones(folder):
    swept = load_backbone(_given(pretrained=folder))
    assert swept.layers == (1, 2, 3)
    assert swept.module().dim == 3 * 32
    given = load_backbone(_given(pretrained=folder, layers=[2, 1]))
    assert given.layers == (2, 1)
    assert given.encoder.config["layers"] == [2, 1]


def test_a_cut_encoder_gives_the_columns_of_its_layer(folder):
    swept = load_backbone(_given(pretrained=folder))
    cut = swept.cut((2,))
    tokens = ByteTokenizer.load(swept.encoder.tokenizer).encode(planted(2).texts)
    walk = Walk(window=swept.encoder.window, margin=swept.encoder.margin)
    whole_TK = token_values(swept.module(), lambda x_PD: x_PD, tokens, 96, walk)
    cut_TK = token_values(cut.module(), lambda x_PD: x_PD, tokens, 32, walk)
    np.testing.assert_allclose(cut_TK, whole_TK[:, 32:64], atol=1e-6)
    assert not any(name.startswith(("left.blocks.2", "right.blocks.2")) for name in cut.encoder.state)


def test_weights_are_those_that_a_bundle_stores(folder):
    module = load_backbone(_given(pretrained=folder)).module()
    assert all(torch.equal(p, p.half().float()) and not p.requires_grad for p in module.parameters())


def test_the_encoder_of_a_bundle_without_layers_counts_as_its_last_one(bundle: Bundle):
    found = load_backbone(_given(bundle=str(bundle.path)))
    assert found.layers == (2,)
    assert found.cut((2,)) is found
    assert (found.encoder.window, found.encoder.margin) == (64, 16)
    with pytest.raises(ValueError, match="no layers to choose from"):
        load_backbone(_given(bundle=str(bundle.path), layers=[1]))


def test_a_layer_that_is_not_there_is_named(folder):
    with pytest.raises(EncoderError, match=r"layers \[4\]"):
        load_backbone(_given(pretrained=folder, layers=[4]))


def test_a_missing_folder_is_no_encoder(tmp_path):
    with pytest.raises(EncoderError, match="no pretrained encoder"):
        load_backbone(_given(pretrained=tmp_path / "none"))


def test_a_fresh_shape_is_written_flat():
    config = _given(type="sliding", dim=16, layers=2)
    assert config.shape == {"type": "sliding", "dim": 16, "layers": 2}
    assert EncoderConfig.model_validate(config.model_dump()) == config


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "exactly one of"),
        ({"pretrained": "a", "bundle": "b"}, "exactly one of"),
        ({"bundle": "a", "revision": "b"}, "revision belongs to hugging_face"),
        ({"bundle": "a", "layrs": [1]}, "layrs"),
    ],
)
def test_a_section_that_names_no_one_encoder_is_refused(settings, why):
    with pytest.raises(ValidationError, match=why):
        _given(**settings)


def test_a_hugging_face_folder_is_swept_over_all_its_blocks(tmp_path):
    transformers = pytest.importorskip("transformers")
    made = tiny_encoder(tmp_path / "tiny", planted(6).texts)
    size = ByteTokenizer.load(made / "tokenizer.json").vocab_size
    shape = transformers.BertConfig(
        vocab_size=size, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32
    )
    torch.manual_seed(0)
    model = transformers.BertModel(shape, add_pooling_layer=False)
    model.save_pretrained(tmp_path / "bert")
    (tmp_path / "bert" / "tokenizer.json").write_bytes((made / "tokenizer.json").read_bytes())
    found = load_backbone(_given(hugging_face=str(tmp_path / "bert")))
    assert found.layers == (1, 2, 3)
    assert found.module().dim == 48
    assert found.cut((1,)).module().dim == 16
