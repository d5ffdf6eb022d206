"""Megatron-LM core_v0.16.1 itself, on a CPU: its parser, its checks, and training with our data set.

Needs a checkout, whose path is in the environment variable MEGATRON_LM.
"""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("megatron.core", reason="needs megatron-core")

from tests.pretrain.launch.made import ARGUMENTS, COUNTING, megatron_lm, pretrain, with_splits
from tests.pretrain.launch.test_megatron_lm_arguments import VARIANTS, arguments
from tokensieve.pretrain.launch.launch import prepare
from tokensieve.pretrain.samples.corpus import Corpus

HERE = Path(__file__).parent
ONE_GPU = {"gpus_per_node": 1}
ON_CPU = ["--distributed-backend", "gloo", "--disable-jit-fuser"]
# As torchrun sets them; torch.compile would want a C++ compiler.
ONE_PROCESS = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
QUIET = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "TORCHDYNAMO_DISABLE": "1"}


def ones(start: int) -> tuple[list[int], list[int]]:
    """A document in which each label that bears loss is 1, and the others cannot be learned in a few steps."""
    bears = [int(place % 3 == 0) for place in range(30)]
    return [*(1 if one else (start * 7 + place**2) % 49 + 2 for place, one in enumerate(bears)), 0], [*bears, 0]


@pytest.fixture(scope="module")
def checkout() -> str:
    if "MEGATRON_LM" not in os.environ:
        pytest.skip("MEGATRON_LM is not set to a checkout of Megatron-LM core_v0.16.1")
    return os.environ["MEGATRON_LM"]


def python(*words: str, log: Path, **environment: str) -> str:
    """Output of a script of this folder. A file and no pipe: Megatron leaves a process behind that keeps it open."""
    environment = {**os.environ, **ONE_PROCESS, **QUIET, "PYTHONPATH": str(HERE.parents[2]), **environment}
    with log.open("w") as stream:
        command = [sys.executable, str(HERE / words[0]), *words[1:]]
        done = subprocess.run(command, stdout=stream, stderr=stream, env=environment, timeout=280)
    said = log.read_text()
    assert done.returncode == 0, said[-3000:]
    return said


def test_committed_list_of_arguments_is_that_of_the_checkout(checkout, tmp_path):
    said = python("megatron_arguments.py", checkout, log=tmp_path / "log")
    assert json.loads(said[said.index("{\n") :]) == ARGUMENTS


def test_parser_and_checks_of_megatron_lm_take_every_variant(checkout, tmp_path, write_corpus):
    corpus = Corpus.load(with_splits(write_corpus(COUNTING, COUNTING), "train", "valid"))
    (tmp_path / "lists").write_text(json.dumps([arguments(corpus, VARIANTS[name]) for name in VARIANTS]))
    environment = {"WORLD_SIZE": "8", "CUDA_DEVICE_MAX_CONNECTIONS": "1"}
    said = python(
        "cpu_megatron_lm.py", "validate", checkout, str(tmp_path / "lists"), log=tmp_path / "l", **environment
    )
    found = [json.loads(line.removeprefix("checked ")) for line in said.splitlines() if line.startswith("checked ")]
    everywhere = {"normalization": "RMSNorm", "padded_vocab_size": 64, "calculate_per_token_loss": True}
    assert [one | everywhere for one in found] == found
    assert [one["data_parallel_size"] for one in found] == [8, 2, 8, 8]
    assert [one["num_query_groups"] for one in found] == [4, 4, 4, 4]
    assert [one["ffn_hidden_size"] for one in found] == [128, 192, 128, 128]
    assert [one["lr_warmup_iters"] for one in found] == [0, 2, 0, 0]


def losses(said: str) -> list[float]:
    return [float(found) for found in re.findall(r"iteration +\d+/.*? lm loss: (\S+)", said)]


def test_pretrain_gpt_learns_the_labels_that_bear_loss_and_goes_on_from_its_checkpoint(
    checkout, tmp_path, write_corpus
):
    documents = [ones(start) for start in range(80)]
    shards = with_splits(write_corpus(documents, documents[:20]), "train", "valid")
    settings = {"steps": 24, "precision": "fp32", "log_every": 1, "optimizer": {"lr": 0.02}, "global_batch_size": 4}

    def run(*extra: str) -> str:
        made = prepare(
            pretrain(**settings),
            megatron_lm(checkout, ONE_GPU, extra=[*ON_CPU, *extra]),
            shards=shards,
            out=tmp_path / "run",
            project="",
            folder=tmp_path,
        )
        for path, text in made.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        script = made.files[tmp_path / "run" / "launch" / "run.sh"]
        target = script[script.index("-m pretrain.launch") : script.index("\n)\n")]
        return python("cpu_megatron_lm.py", "train", *shlex.split(target)[2:], log=tmp_path / "log", MASTER_PORT=port())

    first = losses(run("--exit-interval", "18"))
    assert len(first) == 18
    # ln 64 = 4.2 at the start; with the masked labels counted, the mean would stay above 2.
    assert first[0] > 3.5
    assert first[-1] < 0.5
    said = run()
    assert "successfully loaded checkpoint" in said
    assert len(losses(said)) == 6
    assert max(losses(said)) < 0.5
    assert "validation loss at iteration 24" in said


def port() -> str:
    """A free one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])
