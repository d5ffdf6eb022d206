"""AdamW with warm-up and cosine on Megatron's optimizer, and maximal update parametrisation (muP) by hand.

megatron-core 0.16.1 has no muP (arXiv 2601.21571, appendix). With m = width / base width: attention scores times
1 / head size, logits times 1 / m, matrices between the residual stream and itself start at std / sqrt(m) and learn at
lr / m, everything that meets the vocabulary and every norm learns at lr. Without muP m is 1 and the scores' factor the
usual 1 / sqrt(head size). The released code scales logits only where it computes a training loss, so its samples are m
times too sharp; here every forward does. Weight decay is Megatron's: decoupled (each matrix loses rate * weight_decay
of itself, so m scales it too), none on norms. Traded away: Muon.
"""

import math
from collections.abc import Sequence
from importlib.util import find_spec

import torch
from megatron.core.models.gpt import GPTModel
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

from tokensieve.pretrain.errors import TrainingError
from tokensieve.pretrain.training.config import OptimizerConfig, ParallelConfig
from tokensieve.pretrain.training.model_config import ModelConfig

# Written to the residual stream by every layer: GPT-2 starts them smaller, so that depth does not add up.
_RESIDUAL = ("self_attention.linear_proj.weight", "mlp.linear_fc2.weight")


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


def is_hidden_matrix(name: str, parameter: torch.Tensor) -> bool:
    """True for a matrix whose two sides both grow with the width: neither embedding, output matrix nor norm."""
    return parameter.dim() == 2 and "word_embeddings." not in name and "output_layer." not in name


def initial_std(model: ModelConfig, name: str, parameter: torch.Tensor) -> float:
    """Standard deviation of a matrix's first weights, by Megatron's name."""
    if not is_hidden_matrix(name, parameter):
        return model.init_std
    depth = math.sqrt(2.0 * model.layers) if name.endswith(_RESIDUAL) else 1.0
    return model.init_std / math.sqrt(model.width_multiplier) / depth


def scale_logits(module: GPTModel, multiplier: float) -> None:
    """Multiply the logits of every later forward by 1 / `multiplier`, at the smaller end: the hidden states."""
    if multiplier != 1:
        module.output_layer.register_forward_pre_hook(lambda layer, inputs: (inputs[0] / multiplier, *inputs[1:]))


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
