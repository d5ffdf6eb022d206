"""AdamW with warm-up and cosine on Megatron's optimizer, with muP's rate for each matrix (arXiv 2601.21571, appendix).

megatron-core 0.16.1 has no muP, so the groups are made here: matrices between the residual stream and itself learn at
lr / m, everything that meets the vocabulary and every norm at lr. Weight decay is Megatron's: decoupled (each matrix
loses rate * weight_decay of itself, so m scales it too), none on norms. Traded away: Muon.
"""

from collections.abc import Sequence
from importlib.util import find_spec

import torch
from megatron.core.optimizer import (
    MegatronOptimizer,
    ParamGroupOverride,
    ParamKey,
    ParamWithNamePredicate,
    get_megatron_optimizer,
    get_standard_config_overrides,
)
from megatron.core.optimizer import OptimizerConfig as MegatronOptimizerConfig
from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler
from megatron.core.transformer.module import MegatronModule

from pretrain.errors import TrainingError
from pretrain.training.config import OptimizerConfig, ParallelConfig
from pretrain.training.model_config import ModelConfig
from pretrain.training.mup import is_hidden_matrix


def build_optimizer(
    model: ModelConfig,
    config: OptimizerConfig,
    chunks: Sequence[MegatronModule],
    dtype: torch.dtype,
    parallel: ParallelConfig,
) -> MegatronOptimizer:
    """Megatron's optimizer over DDP-wrapped `chunks`. Raises TrainingError for a distributed one without its kernels.

    Groups: the base rate (embedding, output matrix), the base rate without weight decay (norms) and, with muP at a
    width other than the base, lr / m for the rest.
    """
    if parallel.distributed_optimizer:
        _require_fused_adam()
    settings = MegatronOptimizerConfig(
        optimizer="adam",
        lr=config.lr,
        min_lr=config.lr * config.min_lr_ratio,
        weight_decay=config.weight_decay,
        adam_beta1=config.beta1,
        adam_beta2=config.beta2,
        adam_eps=config.eps,
        clip_grad=config.clip_grad,
        bf16=dtype == torch.bfloat16,
        params_dtype=dtype,
        use_distributed_optimizer=parallel.distributed_optimizer,
    )
    overrides = get_standard_config_overrides(settings)
    if model.width_multiplier != 1:
        overrides |= _hidden_rates(config, model.width_multiplier)
    return get_megatron_optimizer(settings, list(chunks), config_overrides=overrides)


def build_scheduler(config: OptimizerConfig, optimizer: MegatronOptimizer, steps: int) -> OptimizerParamScheduler:
    """Linear warm-up over `warmup_fraction` of `steps`, then a cosine to `min_lr_ratio`; the same curve for each group.

    After `steps` the rate stays at its minimum.
    """
    warmup = min(round(config.warmup_fraction * steps), steps - 1)
    return _OneCurve(
        optimizer,
        init_lr=config.lr / warmup if warmup else 0.0,  # Megatron's default 0 would waste the first step
        max_lr=config.lr,
        min_lr=config.lr * config.min_lr_ratio,
        lr_warmup_steps=warmup,
        lr_decay_steps=steps,
        lr_decay_style="cosine",
        start_wd=config.weight_decay,
        end_wd=config.weight_decay,
        wd_incr_steps=steps,
        wd_incr_style="constant",
    )


class _OneCurve(OptimizerParamScheduler):
    """Megatron starts the warm-up of every group at the same `init_lr`, which is m times too high for lr / m."""

    def get_lr(self, param_group: dict) -> float:
        return super().get_lr({}) * (param_group.get("max_lr", self.max_lr) / self.max_lr)


def _hidden_rates(config: OptimizerConfig, multiplier: float) -> dict[ParamKey, ParamGroupOverride]:
    rate = config.lr / multiplier
    hidden = ParamWithNamePredicate(name="hidden_matrix", fn=lambda weight, name: is_hidden_matrix(name, weight))
    rates = ParamGroupOverride(max_lr=rate, min_lr=rate * config.min_lr_ratio)  # type: ignore[typeddict-item]
    return {ParamKey(with_name_predicate=hidden): rates}


def _require_fused_adam() -> None:
    if find_spec("transformer_engine") is None and find_spec("apex") is None:
        raise TrainingError(
            "pretrain.parallel.distributed_optimizer needs Transformer Engine or Apex, and neither is installed: with "
            "torch's AdamW a resumed run of megatron-core 0.16.1 does not continue where it stopped; set it to false"
        )
