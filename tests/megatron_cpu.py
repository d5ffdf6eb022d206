"""Real Megatron models on the CPU for tests: everything global, one step of training, logits."""

import contextlib
from collections.abc import Iterator

import torch
from megatron.core.distributed import (
    DistributedDataParallel,
    DistributedDataParallelConfig,
    finalize_model_grads,
)
from megatron.core.models.gpt import GPTModel

from tokensieve.pretrain.process_group import process_group
from tokensieve.pretrain.training.config import OptimizerConfig, ParallelConfig
from tokensieve.pretrain.training.megatron_patches import cpu_shim
from tokensieve.pretrain.training.model import build_model
from tokensieve.pretrain.training.model_config import ModelConfig
from tokensieve.pretrain.training.optimizer import build_optimizer, build_scheduler
from tokensieve.pretrain.training.parallel import model_parallel

VOCAB, LENGTH = 64, 16


@contextlib.contextmanager
def megatron_on_cpu(seed: int = 7) -> Iterator[None]:
    """One process with Megatron's parallel state."""
    with cpu_shim(), process_group(torch.device("cpu")), model_parallel(ParallelConfig(), seed):
        yield


def built(model: ModelConfig, vocab: int = VOCAB, length: int = LENGTH) -> GPTModel:
    """A fresh float32 model."""
    return build_model(model, padded_vocab_size=vocab, seq_length=length, dtype=torch.float32)


def logits(module: GPTModel, ids_BT: torch.Tensor) -> torch.Tensor:
    """Logits (B, T, V) as inference sees them: no labels given."""
    with torch.no_grad():
        return module(ids_BT, positions(ids_BT), causal_mask(ids_BT.shape[1]))


def positions(ids_BT: torch.Tensor) -> torch.Tensor:
    return torch.arange(ids_BT.shape[1]).expand_as(ids_BT)


def causal_mask(length: int) -> torch.Tensor:
    return torch.ones(1, 1, length, length, dtype=torch.bool).triu(diagonal=1)


class Trainer:
    """Megatron's DDP, optimizer and schedule around a model, without data, records or checkpoints."""

    def __init__(self, model: ModelConfig, optimizer: OptimizerConfig, steps: int) -> None:
        self.module = built(model)
        self.ddp = DistributedDataParallel(self.module.config, DistributedDataParallelConfig(), self.module)
        self.optimizer = build_optimizer(model, optimizer, [self.ddp], torch.float32, ParallelConfig())
        self.scheduler = build_scheduler(optimizer, self.optimizer, steps)

    def step(self, ids_BT1: torch.Tensor) -> None:
        """One update on the next-token loss of (B, T + 1) ids."""
        tokens_BT, labels_BT = ids_BT1[:, :-1], ids_BT1[:, 1:]
        self.ddp.zero_grad_buffer()
        mask = causal_mask(tokens_BT.shape[1])
        losses_BT = self.ddp(tokens_BT, positions(tokens_BT), mask, labels=labels_BT.contiguous())
        losses_BT.sum().backward()
        finalize_model_grads([self.ddp], torch.tensor(labels_BT.numel(), dtype=torch.int))
        self.optimizer.step()
        self.scheduler.step(increment=1)
