"""The entry for Megatron-LM: which checkouts it takes, and what it makes of their `pretrain_gpt`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("megatron.core", reason="needs megatron-core")

from tests.pretrain.launch.made import COUNTING
from tokensieve.pretrain.errors import LaunchError
from tokensieve.pretrain.launch.megatron_lm_entry import load_pretrain_gpt
from tokensieve.pretrain.launch.run_filter import RunFilter
from tokensieve.pretrain.samples.filter_config import FilterConfig
from tokensieve.pretrain.shards.manifest import Manifest

# The names that the entry uses, around a real data set of megatron-core; `pretrain` prints what it was called with.
STAND_IN = """
import argparse, functools, json, sys
from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

has_nvidia_modelopt = False
class ModelType: encoder_or_decoder = "gpt"
class inprocess_restart: maybe_wrap_for_inprocess_restart = staticmethod(lambda pretrain: (pretrain, "store"))
def set_startup_timestamps(program_start, main_entry): assert program_start < main_entry
def model_provider(builder, **options): return [builder, options]
def gpt_builder(): ...
def forward_step(): ...
def get_embedding_ranks(): ...

def core_gpt_dataset_config_from_args(prefix):
    return GPTDatasetConfig(
        random_seed=1, sequence_length=16, blend_per_split=[([prefix], [1.0]), None, None], path_to_cache=None,
        tokenizer="a null tokenizer", reset_position_ids=False, reset_attention_mask=False, eod_mask_loss=False,
        create_attention_mask=False,
    )

def train_valid_test_datasets_provider(sizes, vp_stage=None):
    config = core_gpt_dataset_config_from_args(sys.argv[1])
    return BlendedMegatronDatasetBuilder(GPTDataset, sizes, lambda: True, config).build()

def pretrain(provider, model, model_type, step, extra_args_provider=None, store=None, get_embedding_ranks=None):
    assert provider.is_distributed and model.func is model_provider and model.args == (gpt_builder,)
    assert (model_type, step, store, extra_args_provider) == ("gpt", forward_step, "store", None)
    import torch.distributed as dist
    from torch._C._distributed_c10d import HashStore
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    train, valid, test = provider([8, None, None], vp_stage=0)
    shown = [train[at] for at in range(8)]
    print(json.dumps({"argv": sys.argv[1:], "others": [valid, test], "rows": [
        [row["labels"].tolist(), row["loss_mask"].int().tolist(), row["tokens"].tolist()] for row in shown]}))
"""


def checkout(folder: Path, version: str = "0.16.1", entry: str = STAND_IN) -> Path:
    """A folder that is laid out as a checkout of Megatron-LM."""
    major, minor, patch = version.split(".")
    for package in ("core", "legacy/fused_kernels"):
        (folder / "megatron" / package).mkdir(parents=True)
    (folder / "megatron" / "core" / "package_info.py").write_text(f"__version__ = '{major}.{minor}.{patch}'\n")
    (folder / "megatron" / "legacy" / "fused_kernels" / "__init__.py").write_text("def load(args): raise OSError\n")
    (folder / "pretrain_gpt.py").write_text(entry)
    return folder


def run_filter(shards: Path, **changes) -> RunFilter:
    settings = {"filter": FilterConfig(), "level": None, "first_filtered_sample": 0}
    return RunFilter(shards=str(shards), corpus_id=Manifest.load(shards).id, **(settings | changes))


def start(tmp_path: Path, repository: Path, shards: Path, **settings):
    file = tmp_path / "filter.json"
    file.write_text(run_filter(shards, **settings).model_dump_json())
    place = checkout(tmp_path / "megatron-lm")
    ours = ["--tokensieve-filter", str(file), "--tokensieve-megatron-lm", str(place)]
    command = [
        sys.executable,
        "-m",
        "tokensieve.pretrain.launch.megatron_lm_entry",
        *ours,
        f"{shards}/shard-00000",
        "--lr",
        "1",
    ]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120)


def test_entry_binds_our_data_set_delays_the_filter_and_makes_the_same_call(tmp_path, repository, write_corpus):
    shards = write_corpus(COUNTING, hidden=60)
    done = start(tmp_path, repository, shards, filter=FilterConfig(mode="hide", from_step=1), first_filtered_sample=3)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["argv"] == [f"{shards}/shard-00000", "--lr", "1"]
    assert said["others"] == [None, None]
    assert [all(mask) for _, mask, _ in said["rows"]] == [True] * 3 + [False] * 5
    assert [60 in labels for labels, _, _ in said["rows"]] == [False] * 3 + [True] * 5
    for labels, mask, _ in said["rows"][3:]:
        assert [label == 60 for label in labels] == [bear == 0 for bear in mask]


@pytest.fixture
def own_modules(monkeypatch):
    """What the test imports and replaces is gone after it."""
    from megatron.core.datasets import utils

    monkeypatch.setattr(utils, "compile_helpers", utils.compile_helpers)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.usefixtures("own_modules")
def test_module_that_megatron_lm_needs_is_named(tmp_path):
    with pytest.raises(LaunchError, match="Megatron-LM needs the module no_such_module; install it"):
        load_pretrain_gpt(checkout(tmp_path, entry="import no_such_module\n"))


@pytest.mark.parametrize("version", ["0.16.2", "0.17.0"])
def test_checkout_of_another_version_is_refused(tmp_path, version):
    with pytest.raises(LaunchError, match=f"is Megatron-LM {version} and the installed megatron-core"):
        load_pretrain_gpt(checkout(tmp_path, version))


def test_folder_without_a_checkout_is_refused(tmp_path):
    with pytest.raises(LaunchError, match=r"no checkout of Megatron-LM; set launch\.megatron_lm\.checkout"):
        load_pretrain_gpt(tmp_path)
