"""The whole of it on made-up texts: recipe in, an encoder's folder with its card out."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.bundles import small_tokenizer
from tests.corpora import sentence
from tests.pretrain.encoder.made import config, write_texts
from tokensieve.pretrain.encoder.checkpoint import ResumeError
from tokensieve.pretrain.encoder.config import EncoderConfig
from tokensieve.pretrain.encoder.pretrain_encoder import Pretrained, UnfinishedError, pretrain_encoder
from tokensieve.pretrain.errors import DatasetError, TrainingError
from tokensieve.pretrain.hashing import below, content_hashes
from tokensieve.udfs.bundles.pretrained import PretrainedEncoder
from tokensieve.udfs.encoders.encoder import build
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

TEXTS = [sentence(n, 3 + n % 40) for n in range(60)]
SOURCES = [
    {"name": "odd", "share": 0.5, "where": {"odd": [True]}, "license_column": "free"},
    {"name": "even", "share": 0.5, "where": {"odd": [False]}, "license": "CC0 1.0"},
]


def _recipe(folder: Path, **changes: Any) -> EncoderConfig:
    if not (folder / "part.parquet").exists():
        free = ["MIT" if n < 20 else "CC BY 4.0" for n in range(60)]
        write_texts(folder, TEXTS, odd=[n % 2 == 1 for n in range(60)], free=free)
    sources = [source | {"path": str(folder / "*.parquet")} for source in SOURCES]
    return config(folder, **({"sources": sources, "heldout": {"share": 0.3, "tokens": 300, "every": 3}} | changes))


def _pretrain(folder: Path, **changes: Any) -> tuple[Pretrained, list[str]]:
    said: list[str] = []
    return pretrain_encoder(_recipe(folder, **changes), said.append), said


def _features(folder: Path, ids: list[int]) -> torch.Tensor:
    loaded = PretrainedEncoder.load(folder)
    encoder = build(loaded.config)
    encoder.load_state_dict(loaded.state)
    with torch.inference_mode():
        return encoder(torch.tensor(ids), torch.tensor([0, len(ids)]))


def test_a_bilm_is_trained_and_its_halves_see_what_their_names_say(tmp_path: Path):
    made, said = _pretrain(tmp_path)
    assert made.encoder_written
    assert made.progress.keys() == {"left", "right"}
    assert all(done.step == 6 and done.heldout.keys() == {"odd", "even"} for done in made.progress.values())
    assert made.parameters_outside_embedding == 2 * (4 * 16**2 + 2 * 16 * 32 + 2 * 16 + 16)
    assert any("tokens/s" in line for line in said)
    loaded = PretrainedEncoder.load(tmp_path / "encoder")
    assert (loaded.window, loaded.margin, loaded.config["layers"]) == (16, 2, [1])
    assert loaded.config["vocab_size"] == ByteTokenizer.load(loaded.tokenizer).vocab_size
    ids = [5, 6, 7, 8, 9]
    before, after = _features(tmp_path / "encoder", ids), _features(tmp_path / "encoder", [*ids[:2], 30, *ids[3:]])
    changed = (before != after).view(5, 2, 16).any(dim=2)
    assert changed[:, 0].tolist() == [False, False, True, True, True]
    assert changed[:, 1].tolist() == [True, True, True, False, False]


def test_the_card_tells_data_losses_and_licences(tmp_path: Path):
    _pretrain(tmp_path)
    card = (tmp_path / "encoder" / "README.md").read_text()
    for line in ("| odd | 50% | 30 |", "| MIT | 10 |", "| CC BY 4.0 | 20 |", "| CC0 1.0 | 30 |", "| right | 6 | 1,"):
        assert line in card


def test_halves_trained_apart_and_joined_are_those_of_one_run(tmp_path: Path):
    _pretrain(tmp_path / "one")
    left, _ = _pretrain(tmp_path / "two", half="left")
    assert not left.encoder_written
    with pytest.raises(UnfinishedError, match="train it with half=right"):
        _pretrain(tmp_path / "two", half="join")
    _pretrain(tmp_path / "two", half="right")
    joined, said = _pretrain(tmp_path / "two", half="join")
    assert joined.encoder_written
    assert not any("tokens/s" in line for line in said)
    weights = [(tmp_path / name / "encoder" / "encoder.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]


def test_a_masked_model_gets_a_mask_id_beyond_the_vocabulary_which_its_readers_never_see(tmp_path: Path):
    made, _ = _pretrain(tmp_path, kind="masked")
    assert made.parameters == 64 * 5 * 16 + made.parameters_outside_embedding
    loaded = PretrainedEncoder.load(tmp_path / "encoder")
    assert loaded.config["type"] == "masked"
    assert loaded.state["both.embedding.weight"].shape == (ByteTokenizer.load(loaded.tokenizer).vocab_size, 16)
    ids = [5, 6, 7, 8, 9]
    before, after = _features(tmp_path / "encoder", ids), _features(tmp_path / "encoder", [*ids[:2], 30, *ids[3:]])
    assert (before != after).any(dim=1).all()


def test_a_mask_token_that_the_tokenizer_lacks_is_an_error(tmp_path: Path):
    with pytest.raises(TrainingError, match=r"masked\.token '<mask>' is not in"):
        _pretrain(tmp_path, kind="masked", masked={"token": "<mask>"})


def test_a_vocabulary_is_learned_from_training_documents_alone(tmp_path: Path):
    marked = [f"{' zqzq' * 50}{n}" for n in range(40)]
    for name, kept_out in (("held-out", True), ("training", False)):
        text = next(text for text in marked if below(content_hashes([text.encode()]), 0.3)[0] == kept_out)
        write_texts(tmp_path / name, [*TEXTS, text])
        sources = [{"name": "all", "share": 1, "path": str(tmp_path / name / "part.parquet")}]
        _pretrain(tmp_path / name, sources=sources, half="left")
        (tokenizer,) = (tmp_path / name / "cache").glob("tokenizer-*.json")
        vocab = json.loads(tokenizer.read_text())["model"]["vocab"]
        assert any("zq" in token for token in vocab) != kept_out


def test_a_vocabulary_is_trained_once(tmp_path: Path):
    recipe = _recipe(tmp_path, half="left")
    pretrain_encoder(recipe, report=lambda line: None)
    (tokenizer,) = tmp_path.glob("cache/tokenizer-*.json")
    before = tokenizer.stat().st_mtime_ns
    _, said = _pretrain(tmp_path)
    assert tokenizer.stat().st_mtime_ns == before
    assert not any("training a vocabulary" in line for line in said)


def test_going_on_with_another_tokenizer_is_an_error_that_names_it(tmp_path: Path):
    one = small_tokenizer(tmp_path / "one.json", TEXTS[:5], 300)
    other = small_tokenizer(tmp_path / "other.json", TEXTS[20:], 300)
    _pretrain(tmp_path, vocabulary=None, tokenizer=one, half="left")
    with pytest.raises(ResumeError, match="belongs to another run: tokenizer_sha256 was"):
        _pretrain(tmp_path, vocabulary=None, tokenizer=other, half="left")


def test_a_rank_file_serves_as_tokenizer_and_keeps_its_name(tmp_path: Path):
    ranks = "".join(f"{base64.b64encode(bytes([n])).decode()} {n}\n" for n in range(256))
    (tmp_path / "cl100k_base.tiktoken").write_text(ranks)
    _pretrain(tmp_path, vocabulary=None, tokenizer=tmp_path / "cl100k_base.tiktoken", budget={"tokens": 256})
    loaded = PretrainedEncoder.load(tmp_path / "encoder")
    assert ByteTokenizer.load(loaded.tokenizer).vocab_size == loaded.config["vocab_size"] == 100_277


def test_a_missing_tokenizer_is_an_error(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"tokenizer: tokenizer file .*no\.json does not exist"):
        _pretrain(tmp_path, vocabulary=None, tokenizer=tmp_path / "no.json")


_KILLED = """
import os, sys
from pathlib import Path
from tokensieve.pretrain.encoder import checkpoint
from tokensieve.pretrain.encoder.config import EncoderConfig
from tokensieve.pretrain.encoder.pretrain_encoder import pretrain_encoder

def half(tensors, path, real=checkpoint.save_file):
    real(tensors, path)
    if "step-00000004" in str(path):
        with open(path, "r+b") as stream:
            stream.truncate(path.stat().st_size // 2)
        os._exit(9)

checkpoint.save_file = half
pretrain_encoder(EncoderConfig.model_validate_json(Path(sys.argv[1]).read_text()), report=lambda line: None)
"""


def test_a_run_killed_while_it_writes_a_checkpoint_ends_as_if_nothing_had_happened(tmp_path: Path, repository: Path):
    recipe = _recipe(tmp_path / "killed", half="left")
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json())
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path / "recipe.json")], cwd=repository, check=False)
    assert done.returncode == 9
    runs = tmp_path / "killed" / "runs" / "left"
    assert [path.name for path in runs.glob("step-*")] == ["step-00000002"]
    assert len(list(runs.glob(".step-00000004.*"))) == 1
    _, said = _pretrain(tmp_path / "killed", half="left")
    assert any("going on from step 2" in line for line in said)
    assert not list(runs.glob(".step-*"))
    _pretrain(tmp_path / "whole", half="left")
    states = [tmp_path / name / "runs/left/step-00000006/state.safetensors" for name in ("killed", "whole")]
    assert states[0].read_bytes() == states[1].read_bytes()
