"""Arguments for Megatron-LM: literal, known to core_v0.16.1's parser, and refused where it has none."""

import json
from pathlib import Path

import pytest

from tests.pretrain.launch.made import COUNTING, faults, megatron_lm, pretrain, with_splits
from tokensieve.pretrain.errors import LaunchError
from tokensieve.pretrain.launch.launch import split_arguments
from tokensieve.pretrain.launch.megatron_lm_arguments import MegatronLmPaths, megatron_lm_arguments
from tokensieve.pretrain.samples.corpus import Corpus
from tokensieve.pretrain.shards.blend import Blend, BlendSource
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.training.plan import plan

GOLDEN = Path(__file__).parent / "golden"
PATHS = MegatronLmPaths(out=Path("/run"), splits=Path("/run/launch/splits.json"), index_cache=Path("/run/cache/ID"))
LLAMA = {"family": "llama", "layers": 4, "hidden_size": 64, "heads": 8, "kv_heads": 4, "tie_embeddings": False}
TE = {"layers": 2, "hidden_size": 32, "heads": 4, "kernels": "transformer_engine", "position": "none"}
VARIANTS = {
    "paper": {},
    "llama": {
        "model": LLAMA,
        "parallel": {"tensor": 2, "pipeline": 2},
        "precision": "fp32",
        "tensorboard": True,
        "checkpoint": {"every": 2},
        "validation": {"every": 2, "samples": 32},
        "optimizer": {"warmup_fraction": 0.4},
        "loader_workers": 2,
    },
    "engine": {"model": TE, "parallel": {"distributed_optimizer": True}, "optimizer": {"warmup_fraction": 0.0}},
    "hide": {"filter": {"mode": "hide", "noise": {"miss": 0.1}, "from_step": 2}},
}


@pytest.fixture
def corpus(write_corpus) -> Corpus:
    """104 samples to train on and 104 to validate on."""
    return Corpus.load(with_splits(write_corpus(COUNTING, COUNTING), "train", "valid"))


def arguments(corpus: Corpus, settings: dict, **options) -> list[str]:
    launch, config = megatron_lm(**options), pretrain(**settings)
    assert launch.megatron_lm is not None
    todo = plan(config, corpus.folder, world_size=launch.world_size)
    return megatron_lm_arguments(config, launch.megatron_lm, todo, corpus, PATHS)


def test_arguments_are_literally_these(corpus):
    assert arguments(corpus, VARIANTS["paper"]) == (GOLDEN / "megatron_lm_paper.txt").read_text().split()
    assert arguments(corpus, VARIANTS["llama"]) == (GOLDEN / "megatron_lm_llama.txt").read_text().split()


@pytest.mark.parametrize("name", VARIANTS)
def test_the_pinned_version_knows_every_argument_with_its_type_and_choices(corpus, name):
    assert faults(arguments(corpus, VARIANTS[name], extra=["--recompute-activations"])) == []


def test_the_check_against_the_parser_finds_wrong_words():
    assert faults(["--lr", "fast", "--bf16", "1", "--mup", "--optimizer", "lion", "--seed", "--seed", "1"]) == [
        "--lr: 'fast' is no float",
        "--bf16: takes 0 values, not ['1']",
        "--mup: no such option",
        "--optimizer: lion not in ['adam', 'sgd', 'muon', 'dist_muon']",
        "--seed: takes 1 values, not []",
        "--seed: given twice",
    ]


def test_learning_rate_has_the_curve_of_our_own_loop(corpus):
    words = arguments(corpus, {"steps": 6, "optimizer": {"lr": 0.003, "warmup_fraction": 0.5}})
    values = {word: words[at + 1] for at, word in enumerate(words[:-1])}
    assert (values["--lr-warmup-iters"], values["--lr-warmup-init"]) == ("3", "0.001")
    assert (values["--lr"], values["--lr-decay-iters"], values["--train-iters"]) == ("0.003", "6", "6")
    assert float(values["--min-lr"]) == pytest.approx(0.0003)
    assert "--lr-warmup-iters" not in arguments(corpus, {"optimizer": {"warmup_fraction": 0.0}})


def test_embedding_has_the_padded_vocabulary_of_the_manifest(corpus):
    words = arguments(corpus, {})
    at = words.index("--tokenizer-type")
    expected = ["--tokenizer-type", "NullTokenizer", "--vocab-size", "63", "--padded-vocab-size", "64"]
    assert words[at : at + 6] == expected


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        ({"model": {**TE, "mup": {"base_width": 256}}}, {}, r"pretrain.model.mup: .* has no muP; set it to null"),
        ({"parallel": {"distributed_optimizer": True}}, {}, "distributed_optimizer: .* set pretrain.model.kernels"),
        ({"seed": 0}, {}, "pretrain.seed: Megatron-LM refuses 0"),
        ({"validation": {"sets": {"near": {}}}}, {}, r"validation.sets \(near\): Megatron-LM measures the split valid"),
        ({}, {"extra": ["--lr=1"]}, "extra: --lr is derived from section pretrain"),
    ],
)
def test_what_megatron_lm_cannot_be_told_is_refused_with_what_to_do(corpus, settings, options, message):
    with pytest.raises(LaunchError, match=message):
        arguments(corpus, settings, **options)


def test_all_refusals_come_at_once(corpus):
    settings = {"seed": 0, "parallel": {"distributed_optimizer": True}}
    with pytest.raises(LaunchError, match=r"(?s)distributed_optimizer.*seed.*extra: --bf16"):
        arguments(corpus, settings, extra=["--bf16"])


def test_splits_are_named_by_prefix_and_weighed_by_samples(write_corpus):
    short = [([1, 2, 0], [1, 1, 1])]
    folder = with_splits(write_corpus(COUNTING, COUNTING[:40], COUNTING[:8], short), "train", "train", "valid", "train")
    assert json.loads(split_arguments(Corpus.load(folder), 16)) == {
        "train": ["104", f"{folder}/shard-00000", "52", f"{folder}/shard-00001"],
        "valid": ["10", f"{folder}/shard-00002"],
        "test": None,
    }


def test_sources_of_a_blend_keep_their_weight_and_share_it_by_samples(write_corpus, tmp_path):
    clean, toxic = write_corpus(COUNTING, COUNTING[:40], name="clean"), write_corpus(COUNTING, name="toxic")
    sources = [
        BlendSource(name=place.name, shards=f"../{place.name}", manifest_id=Manifest.load(place).id, weight=w, epochs=1)
        for place, w in ((clean, 0.75), (toxic, 0.25))
    ]
    (tmp_path / "mix").mkdir()
    Blend(name="quarter", sources=tuple(sources), tokens=4000).save(tmp_path / "mix")
    train = json.loads(split_arguments(Corpus.load(tmp_path / "mix"), 16))["train"]
    assert [Path(prefix).resolve() for prefix in train[1::2]] == [
        clean / "shard-00000",
        clean / "shard-00001",
        toxic / "shard-00000",
    ]
    assert [float(weight) for weight in train[::2]] == pytest.approx([0.5, 0.25, 0.25])


def test_only_a_valid_split_is_measured(corpus, write_corpus):
    words = arguments(corpus, {"validation": {"samples": 40}})
    assert words[words.index("--eval-iters") + 1] == "2"
    without = arguments(Corpus.load(write_corpus(COUNTING, name="train-only")), {})
    assert without[without.index("--eval-iters") + 1] == "0"
