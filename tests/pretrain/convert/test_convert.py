"""A run trained by Megatron against the same run loaded by stock transformers classes: logits, tokenizer, faults."""

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("megatron.core", reason="needs megatron-core")
pytest.importorskip("transformers", reason="needs transformers")

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.bundles import small_tokenizer
from tests.megatron_cpu import built, logits, megatron_on_cpu
from tokensieve.jobs.cli import app
from tokensieve.pretrain.convert.convert import convert
from tokensieve.pretrain.errors import ConvertError
from tokensieve.pretrain.hashed_file import file_sha256
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.training.config import PretrainConfig
from tokensieve.pretrain.training.train import train

VOCAB, LENGTH = 320, 16
ROWS = [([*((start + i) % 50 + 100 for i in range(20)), 0], [1] * 5 + [0] * 5 + [1] * 11) for start in range(40)]
IDS_BT = torch.arange(32).view(2, 16) * 37 % VOCAB
MODELS = {
    "paper": {"mup": {"base_width": 16}},
    "paper without mup": {},
    "paper without positions": {"position": "none", "mup": {"base_width": 48}},
    "llama": {"family": "llama"},
    "llama grouped and untied": {
        "family": "llama",
        "kv_heads": 2,
        "tie_embeddings": False,
        "ffn_hidden_size": 80,
        "rope_base": 500,
    },
    "llama grouped with mup": {"family": "llama", "kv_heads": 1, "mup": {"base_width": 16}, "position": "none"},
}


def settings(**model) -> PretrainConfig:
    return PretrainConfig.model_validate(
        {
            "seq_length": LENGTH,
            "micro_batch_size": 4,
            "global_batch_size": 4,
            "model": {"layers": 2, "hidden_size": 32, "heads": 4, "init_std": 0.1, **model},
            "optimizer": {"lr": 1e-2, "warmup_fraction": 0},
            "steps": 3,
            "seed": 3,
        }
    )


@pytest.fixture
def corpus(write_corpus, tmp_path) -> Path:
    """Shards of 300 ids and a real tokenizer for them; ids 300 to 319 are padding, 301 is the hidden token."""
    shards = write_corpus(ROWS, vocab=VOCAB, hidden=301)
    texts = ["the patient was given a dose", "the train was late again"] * 20
    file = small_tokenizer(shards / "tokenizer.json", texts, size=300, special=("<|endoftext|>",))
    manifest = Manifest.load(shards)
    size = len(json.loads(file.read_text())["model"]["vocab"])
    info = manifest.tokenizer.model_copy(update={"sha256": file_sha256(file), "vocab_size": size})
    manifest.model_copy(update={"tokenizer": info}).save(shards)
    return shards


@pytest.fixture
def run_folder(corpus, tmp_path) -> Path:
    """A finished run of the paper's family."""
    train(settings(), corpus, tmp_path / "run")
    return tmp_path / "run"


def megatron_logits(run: Path, config: PretrainConfig) -> torch.Tensor:
    with megatron_on_cpu():
        module = built(config.model, VOCAB, LENGTH)
        module.load_state_dict(load_file(run / "model.safetensors"), strict=False)
        return logits(module, IDS_BT)


@pytest.mark.parametrize("name", MODELS)
def test_stock_classes_compute_megatrons_logits(corpus, tmp_path, name):
    config, run, out = settings(**MODELS[name]), tmp_path / "run", tmp_path / "out"
    train(config, corpus, run)
    converted = convert(run, out)
    model = AutoModelForCausalLM.from_pretrained(out)
    assert type(model).__name__ == converted.architecture
    assert type(model).__module__.startswith("transformers.models.")
    with torch.no_grad():
        found_BTV = model(IDS_BT).logits
    expected_BTV = megatron_logits(run, config)
    assert float(expected_BTV.std()) > 0.05
    torch.testing.assert_close(found_BTV, expected_BTV, rtol=0, atol=1e-4)
    assert converted.parameters == config.model.parameters(VOCAB) == model.num_parameters()
    assert (converted.dtype, converted.vocab_size) == ("float32", 320)


def test_a_model_without_positions_ignores_them_exactly(corpus, tmp_path):
    train(settings(position="none"), corpus, tmp_path / "run")
    convert(tmp_path / "run", tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        near, far = (model(IDS_BT, position_ids=torch.arange(16)[None] + start).logits for start in (0, 100_000))
    assert torch.equal(near, far)


def test_generation_stops_at_the_end_of_text_and_never_emits_hidden_or_padding(run_folder, tmp_path):
    convert(run_folder, tmp_path / "out")
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        model.model.embed_tokens.weight[300:] *= 50  # padding would win otherwise
    torch.manual_seed(0)
    made_BT = model.generate(torch.tensor([[100, 101, 102]] * 4), max_new_tokens=20, do_sample=True)
    assert made_BT.shape[0] == 4
    assert int(made_BT.max()) < 300
    assert model.generation_config.eos_token_id == 0


@pytest.mark.parametrize("model", [{}, {"family": "llama"}], ids=["paper", "llama"])
def test_the_tokenizer_travels_with_its_bytes_and_makes_the_same_ids(corpus, tmp_path, model):
    train(settings(**model), corpus, tmp_path / "run")
    convert(tmp_path / "run", tmp_path / "out")
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (corpus / "tokenizer.json").read_bytes()
    from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

    text = "  The patient, given a\n\ndose: 12.5 mg — naïve?"
    expected = ByteTokenizer.load(corpus / "tokenizer.json").encode([text]).ids_T.tolist()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer(text)["input_ids"] == expected
    assert tokenizer.decode(expected) == text
    assert (tokenizer.eos_token, tokenizer.eos_token_id, tokenizer.model_max_length) == ("<|endoftext|>", 0, 16)


def test_a_run_without_its_tokenizer_takes_the_one_that_is_named_if_it_is_the_same(run_folder, corpus, tmp_path):
    shutil.rmtree(run_folder / "tokenizer", ignore_errors=True)
    with pytest.raises(
        ConvertError, match=r"run/tokenizer/tokenizer.json: no tokenizer file here; .* --tokenizer PATH"
    ):
        convert(run_folder, tmp_path / "out")
    other = tmp_path / "other.json"
    other.write_text("{}")
    with pytest.raises(ConvertError, match=r"other.json is not the run's tokenizer: its sha256 is 44136fa"):
        convert(run_folder, tmp_path / "out", other)
    convert(run_folder, tmp_path / "out", corpus / "tokenizer.json")
    assert (tmp_path / "out" / "tokenizer.json").is_file()


def test_what_made_the_model_is_written_beside_it(run_folder, tmp_path):
    convert(run_folder, tmp_path / "out")
    assert (tmp_path / "out" / "tokensieve.json").read_bytes() == (run_folder / "config.json").read_bytes()
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokensieve.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_the_names_of_transformer_engines_layers_give_the_same_model(run_folder, tmp_path):
    convert(run_folder, tmp_path / "local")
    names = {
        ".input_layernorm.weight": ".self_attention.linear_qkv.layer_norm_weight",
        ".pre_mlp_layernorm.weight": ".mlp.linear_fc1.layer_norm_weight",
    }

    def rename(weights: dict[str, torch.Tensor]) -> None:
        for (old, new), layer in itertools.product(names.items(), range(2)):
            weights[f"decoder.layers.{layer}{new}"] = weights.pop(f"decoder.layers.{layer}{old}")

    rewrite(run_folder, rename)
    about = json.loads((run_folder / "config.json").read_text())
    about["pretrain"]["model"]["kernels"] = "transformer_engine"
    (run_folder / "config.json").write_text(json.dumps(about))
    convert(run_folder, tmp_path / "out")
    local, fused = (load_file(tmp_path / name / "model.safetensors") for name in ("local", "out"))
    assert local.keys() == fused.keys()
    assert all(torch.equal(local[name], fused[name]) for name in local)


def test_weights_in_bfloat16_stay_in_bfloat16(run_folder, tmp_path):
    rewrite(run_folder, lambda weights: weights.update({name: weights[name].bfloat16() for name in weights}))
    assert convert(run_folder, tmp_path / "out").dtype == "bfloat16"
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").dtype == torch.bfloat16


def rewrite(run: Path, change) -> None:
    weights = load_file(run / "model.safetensors")
    change(weights)
    save_file(weights, run / "model.safetensors")


QKV = "decoder.layers.1.self_attention.linear_qkv.weight"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda run: (run / "train.json").unlink(), r"train.json missing, so this is no finished run"),
        (lambda run: rewrite(run, lambda weights: weights.pop(QKV)), rf"{QKV} is missing"),
        (
            lambda run: rewrite(run, lambda weights: weights.update({QKV: weights[QKV][:-1].clone()})),
            rf"{QKV} has shape \(95, 32\) instead of \(96, 32\)",
        ),
        (lambda run: rewrite(run, lambda weights: weights.update(extra=torch.zeros(1))), r"extra is unknown"),
        (
            lambda run: (run / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:-8]),
            r"model.safetensors: not a whole safetensors file",
        ),
        (lambda run: (run / "config.json").write_text('{"format": "other/1"}'), r"config.json: not the configuration"),
    ],
    ids=["unfinished", "missing", "shape", "unknown", "cut", "format"],
)
def test_a_damaged_run_is_named_and_nothing_is_written(run_folder, tmp_path, damage, expected):
    damage(run_folder)
    with pytest.raises(ConvertError, match=expected):
        convert(run_folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_verb_prints_what_it_wrote_and_refuses_a_folder_in_use(run_folder, tmp_path):
    from typer.testing import CliRunner

    command = ["pretrain", "convert", str(run_folder), str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert json.loads(done.output) == {
        "architecture": "ArceeForCausalLM",
        "dtype": "float32",
        "out": str(tmp_path / "out"),
        "parameters": 34976,
        "vocab_size": 320,
    }
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 2
    assert "is there already; name a new or an empty folder" in again.output
