"""Hidden values come from the output of block L, whatever the batch, the window or the length of a text."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.corpora import sentence
from tests.tiny_sae import WIDTH, tiny_gemma
from tokensieve.udfs.sae.model import ModelSettings
from tokensieve.udfs.sae.residual import Residual, padded_packs
from tokensieve.udfs.sae.slice import SaeError, SaeSpec
from tokensieve.udfs.tokenizing.tokenizer import Tokenized

transformers = pytest.importorskip("transformers")
TEXTS = [sentence(3, 25), "", sentence(4, 3), "naïve 🧬 drug", sentence(5, 60)]


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gemma(tmp_path_factory.mktemp("model"), [sentence(at) for at in range(20)])


@pytest.fixture(scope="module")
def whole(gemma: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(gemma, attn_implementation="eager").eval()


def spec(layer: int, hook: str = "res", d_in: int = WIDTH, prepend_bos: bool = True) -> SaeSpec:
    return SaeSpec.model_validate(
        {
            "architecture": "jumprelu",
            "layer": layer,
            "hook": hook,
            "d_in": d_in,
            "d_sae": 64,
            "prepend_bos": prepend_bos,
            "source_sha256": "0" * 64,
        }
    )


def read(residual: Residual, texts: list[str]) -> tuple[Tokenized, torch.Tensor]:
    """All values in the order of the tokens; every token must come exactly once."""
    tokens = residual.tokenizer.encode(texts)
    parts = list(residual.read(tokens))
    position_T = np.concatenate([position for position, _ in parts])
    assert sorted(position_T.tolist()) == list(range(len(tokens.ids_T)))
    return tokens, torch.cat([x for _, x in parts])[np.argsort(position_T)]


def alone(model: Any, ids: np.ndarray, bos: bool = True) -> tuple[torch.Tensor, ...]:
    """Hidden states of the whole model for one text by itself, BOS taken off again."""
    full = torch.tensor([[2] * bos + ids.tolist()])
    with torch.inference_mode():
        states = model(full, output_hidden_states=True).hidden_states
    return tuple(state[0, int(bos) :] for state in states)


def test_values_are_the_output_of_block_l_and_not_its_input(gemma, whole):
    tokens, x_TD = read(Residual(ModelSettings(model=str(gemma), token_budget=70), spec(1)), TEXTS)
    for d in range(len(TEXTS)):
        part = slice(int(tokens.bounds_D1[d]), int(tokens.bounds_D1[d + 1]))
        if part.stop > part.start:
            states = alone(whole, tokens.ids_T[part])
            assert torch.allclose(x_TD[part], states[2], atol=1e-4)
            assert not torch.allclose(x_TD[part], states[1], atol=1e-1)  # hidden_states[L], as the released code takes


def test_last_layer_is_read_before_the_final_norm(gemma, whole):
    caught = {}
    handle = whole.model.layers[2].register_forward_hook(lambda module, given, out: caught.update(x=out[0]))
    tokens, x_TD = read(Residual(ModelSettings(model=str(gemma)), spec(2)), TEXTS[:1])
    states = alone(whole, tokens.ids_T)
    handle.remove()
    assert torch.allclose(x_TD, caught["x"].reshape(-1, WIDTH)[1:], atol=1e-4)
    assert not torch.allclose(x_TD, states[3], atol=1e-2)  # hidden_states[-1] is normed


@pytest.mark.parametrize(("hook", "width"), [("mlp", WIDTH), ("att", 48)])
def test_other_hooks_read_the_normed_mlp_output_and_the_input_of_the_output_projection(gemma, whole, hook, width):
    caught = {}
    block = whole.model.layers[1]
    handle = (
        block.self_attn.o_proj.register_forward_pre_hook(lambda module, given: caught.update(x=given[0]))
        if hook == "att"
        else block.post_feedforward_layernorm.register_forward_hook(lambda m, given, out: caught.update(x=out))
    )
    tokens, x_TD = read(Residual(ModelSettings(model=str(gemma)), spec(1, hook, width)), TEXTS[:1])
    alone(whole, tokens.ids_T)
    handle.remove()
    assert torch.allclose(x_TD, caught["x"][0, 1:], atol=1e-4)


def test_bos_stands_before_a_text_only_where_the_sae_wants_it(gemma, whole):
    tokens, x_TD = read(Residual(ModelSettings(model=str(gemma)), spec(0, prepend_bos=False)), TEXTS[:1])
    assert torch.allclose(x_TD, alone(whole, tokens.ids_T, bos=False)[1], atol=1e-4)
    assert not torch.allclose(x_TD, alone(whole, tokens.ids_T)[1], atol=1e-3)


def test_long_text_goes_in_windows_and_no_token_is_lost(gemma, whole):
    settings = ModelSettings(model=str(gemma), window=24, margin=4, token_budget=60)
    tokens, x_TD = read(Residual(settings, spec(1)), [sentence(5, 60), sentence(6, 4)])
    assert tokens.bounds_D1[1] > 48
    # The second window reads tokens 16..39 behind a BOS of its own, and gives 20..35.
    expected = alone(whole, tokens.ids_T[16:40])[2]
    assert torch.allclose(x_TD[20:36], expected[4:20], atol=1e-4)


def test_batch_and_neighbours_do_not_change_values(gemma):
    small = Residual(ModelSettings(model=str(gemma), token_budget=1), spec(1))
    large = Residual(ModelSettings(model=str(gemma), token_budget=10_000), spec(1))
    assert torch.allclose(read(small, TEXTS)[1], read(large, TEXTS)[1], atol=1e-4)


def test_blocks_above_the_hook_are_not_loaded(gemma):
    assert len(Residual(ModelSettings(model=str(gemma)), spec(0))._model.layers) == 1


def test_padded_packs_keep_the_padded_budget_longest_first():
    packs = padded_packs(np.array([2, 9, 3, 2, 3]), token_budget=6)
    assert [pack.tolist() for pack in packs] == [[1], [2, 4], [0, 3]]
    assert list(padded_packs(np.array([], dtype=np.int64), token_budget=6)) == []


def test_sae_that_does_not_fit_the_model_is_refused(gemma):
    settings = ModelSettings(model=str(gemma))
    with pytest.raises(SaeError, match=r"has 32 values a token at hook `res`, the SAE .* reads 3584"):
        Residual(settings, spec(1, d_in=3584))
    with pytest.raises(SaeError, match=r"has 48 values a token at hook `att`, the SAE .* reads 32"):
        Residual(settings, spec(1, "att"))
    with pytest.raises(SaeError, match="has 3 blocks, the SAE reads block 3"):
        Residual(settings, spec(3))


def test_model_folders_that_are_not_whole_are_named_errors(gemma, tmp_path):
    with pytest.raises(SaeError, match=r"no \*.safetensors file in this folder"):
        Residual(ModelSettings(model=str(tmp_path)), spec(1))
    folder = shutil.copytree(gemma, tmp_path / "model")
    with pytest.raises(SaeError, match="but the job was planned with another"):
        Residual(ModelSettings(model=str(folder), identity="another"), spec(1))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(SaeError, match=r"tokenizer\.json: does not exist"):
        Residual(ModelSettings(model=str(folder)), spec(1))


def test_missing_tensors_and_a_foreign_tokenizer_are_refused(gemma, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(gemma, tmp_path / "model")
    state = load_file(folder / "model.safetensors")
    del state["model.layers.1.mlp.up_proj.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SaeError, match=r"lack 1 tensors, the first is layers\.1\.mlp\.up_proj\.weight"):
        Residual(ModelSettings(model=str(folder)), spec(1))
    other = tiny_gemma(tmp_path / "other", TEXTS, vocabulary=300)
    shutil.copy(gemma / "tokenizer.json", other / "tokenizer.json")
    with pytest.raises(SaeError, match="tokenizer and model do not belong together"):
        Residual(ModelSettings(model=str(other)), spec(1))


def test_cuda_that_is_not_there_is_a_named_error(gemma):
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(SaeError, match=r"sae\.device=cuda, but torch sees no CUDA device"):
        Residual(replace(ModelSettings(model=str(gemma)), device="cuda"), spec(1))
