"""Megatron-core's GPTModel in the shape of the paper's family (arXiv 2601.21571).

Pre-RMSNorm, squared ReLU, no bias, tied embeddings, RoPE or no positions, no dropout; torch's own kernels
(local layer spec), so it is the same model on CPU and GPU. Not here: Transformer Engine, muP.
"""

import torch
from megatron.core.models.gpt import GPTModel
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
from megatron.core.transformer import TransformerConfig

from pretrain.training.config import ModelConfig


def squared_relu(values: torch.Tensor) -> torch.Tensor:
    """max(x, 0)^2. Megatron's own is torch.compiled on first use, which needs a C++ compiler on a CPU."""
    return torch.relu(values).square()


def transformer_config(model: ModelConfig, dtype: torch.dtype) -> TransformerConfig:
    """Megatron's settings for `model`.

    `calculate_per_token_loss` must be set here and not later: Megatron's DDP reads it when it is built, and
    without it each microbatch is averaged over its own count, which over-weights sparse masks.
    """
    return TransformerConfig(
        num_layers=model.layers,
        hidden_size=model.hidden_size,
        num_attention_heads=model.heads,
        ffn_hidden_size=model.ffn,
        normalization="RMSNorm",
        activation_func=squared_relu,
        add_bias_linear=False,
        attention_dropout=0.0,
        hidden_dropout=0.0,
        init_method_std=model.init_std,
        calculate_per_token_loss=True,
        use_cpu_initialization=True,  # the same weights whatever the device
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


def build_model(model: ModelConfig, *, padded_vocab_size: int, seq_length: int, dtype: torch.dtype) -> GPTModel:
    """The model, with weights drawn from torch's current random state. Needs Megatron's parallel state."""
    config = transformer_config(model, dtype)
    return GPTModel(
        config=config,
        transformer_layer_spec=get_gpt_layer_local_spec(normalization=config.normalization),
        vocab_size=padded_vocab_size,
        max_sequence_length=seq_length,
        position_embedding_type=model.position,
        share_embeddings_and_output_weights=True,
    )
