"""Megatron-core's GPTModel in the shape of a `ModelConfig`, whole or one rank's part of it.

torch's own kernels (local layer spec) unless Transformer Engine is asked for, so the model is the same on CPU and GPU;
the local attention keeps all T x T scores, which costs memory. Sequence and context parallelism are not offered.
"""

from importlib.util import find_spec

import torch
import torch.distributed as dist
from megatron.core.models.gpt import GPTModel
from megatron.core.models.gpt.gpt_layer_specs import (
    get_gpt_layer_local_spec,
    get_gpt_layer_with_transformer_engine_spec,
)
from megatron.core.transformer import TransformerConfig
from megatron.core.transformer.spec_utils import ModuleSpec

from tokensieve.pretrain.errors import TrainingError
from tokensieve.pretrain.training.config import ParallelConfig
from tokensieve.pretrain.training.initial_weights import draw_weights, leave_weights
from tokensieve.pretrain.training.model_config import NORM_EPSILON, ModelConfig
from tokensieve.pretrain.training.optimizer import scale_logits


def squared_relu(values: torch.Tensor) -> torch.Tensor:
    """max(x, 0)^2. Megatron's own is torch.compiled on first use, which needs a C++ compiler on a CPU."""
    return torch.relu(values).square()


def transformer_config(
    model: ModelConfig, dtype: torch.dtype, parallel: ParallelConfig | None = None
) -> TransformerConfig:
    """Megatron's settings for `model`.

    `calculate_per_token_loss` must be set here and not later: Megatron's DDP reads it when it is built, and
    without it each microbatch is averaged over its own count, which over-weights sparse masks.
    """
    parallel = parallel or ParallelConfig()
    return TransformerConfig(
        num_layers=model.layers,
        hidden_size=model.hidden_size,
        num_attention_heads=model.heads,
        num_query_groups=model.query_groups,
        ffn_hidden_size=model.ffn,
        normalization="RMSNorm",
        layernorm_epsilon=NORM_EPSILON,
        gated_linear_unit=model.gated,
        activation_func=torch.nn.functional.silu if model.gated else squared_relu,
        softmax_scale=model.softmax_scale,
        add_bias_linear=False,
        attention_dropout=0.0,
        hidden_dropout=0.0,
        # Weights are drawn after building, on the CPU: the same ones whatever the device and the parallel sizes.
        use_cpu_initialization=True,
        init_method=leave_weights,
        output_layer_init_method=leave_weights,
        embedding_init_method=leave_weights,
        calculate_per_token_loss=True,
        tensor_model_parallel_size=parallel.tensor,
        pipeline_model_parallel_size=parallel.pipeline,
        sequence_parallel=False,
        bf16=dtype == torch.bfloat16,
        params_dtype=dtype,
        pipeline_dtype=dtype,
        # The fused kernels behind these come with Apex or Transformer Engine.
        bias_dropout_fusion=False,
        bias_activation_fusion=False,
        masked_softmax_fusion=False,
        gradient_accumulation_fusion=False,
        apply_rope_fusion=False,
        persist_layer_norm=False,
    )


def build_model(
    model: ModelConfig,
    *,
    padded_vocab_size: int,
    seq_length: int,
    dtype: torch.dtype,
    pre_process: bool = True,
    post_process: bool = True,
    parallel: ParallelConfig | None = None,
) -> GPTModel:
    """This rank's part of the model, on the CPU. Call it on every rank, inside Megatron's parallel state.

    `pre_process`, `post_process`: this pipeline stage has the embedding, has the output layer. Weights follow from
    rank 0's torch random state. Raises TrainingError where the model cannot be cut so or a kernel is missing.
    """
    parallel = parallel or ParallelConfig()
    reasons = model.split_reasons(
        tensor=parallel.tensor, pipeline=parallel.pipeline, padded_vocab_size=padded_vocab_size
    )
    if reasons:
        raise TrainingError("the model cannot be cut as pretrain.parallel asks: " + "; ".join(reasons))
    module = GPTModel(
        config=transformer_config(model, dtype, parallel),
        transformer_layer_spec=_layer_spec(model),
        vocab_size=padded_vocab_size,
        max_sequence_length=seq_length,
        pre_process=pre_process,
        post_process=post_process,
        share_embeddings_and_output_weights=model.tie_embeddings,
        position_embedding_type=model.position,
        rotary_base=model.rope_base,
    )
    draw_weights(module, model, _seed_of_rank_0())
    if post_process:
        scale_logits(module, model.width_multiplier)
    return module


def _layer_spec(model: ModelConfig) -> ModuleSpec:
    if model.kernels == "local":
        return get_gpt_layer_local_spec(normalization="RMSNorm")
    if find_spec("transformer_engine") is None:
        raise TrainingError("model.kernels is transformer_engine, which is not installed; set it to local")
    if not torch.cuda.is_available():
        raise TrainingError(
            "model.kernels is transformer_engine, which needs a GPU, and torch sees none; set it to local"
        )
    return get_gpt_layer_with_transformer_engine_spec()


def _seed_of_rank_0() -> int:
    drawn = [int(torch.randint(2**62, ()))]
    dist.broadcast_object_list(drawn, src=0)
    return drawn[0]
