"""Megatron's tensors as those of `LlamaForCausalLM` or `ArceeForCausalLM`, which compute the same logits.

Those classes know no muP, so its two scales go into weights: 1 / head size into W_q (they divide by its root), 1 / m
into the final norm, which leaves embeddings tied. Done in float32; in bfloat16 a factor that is no power of two rounds.
"""

import math

import torch

from tokensieve.pretrain.convert import names
from tokensieve.pretrain.training.model_config import ModelConfig

Tensors = dict[str, torch.Tensor]


def hugging_face_weights(model: ModelConfig, weights: Tensors) -> Tensors:
    """Tensors by Hugging Face's names, contiguous, in the dtype that they have. Vocabulary padding stays."""
    out = {
        "model.embed_tokens.weight": weights[names.EMBEDDING],
        "model.norm.weight": _times(weights[names.FINAL_NORM], 1.0 / model.width_multiplier),
    }
    if not model.tie_embeddings:
        out["lm_head.weight"] = weights[names.OUTPUT]
    for layer in range(model.layers):
        for name, tensor in _layer(model, weights, layer).items():
            out[f"model.layers.{layer}.{name}"] = tensor.contiguous()
    return out


def _layer(model: ModelConfig, weights: Tensors, layer: int) -> Tensors:
    def named(name: str) -> torch.Tensor:
        return weights[names.in_layer(layer, name)]

    query, key, value = split_qkv(model, named(names.QKV))
    tensors = {
        "input_layernorm.weight": named(names.attention_norm(model)),
        "self_attn.q_proj.weight": _times(query, model.softmax_scale * math.sqrt(model.head_size)),
        "self_attn.k_proj.weight": key,
        "self_attn.v_proj.weight": value,
        "self_attn.o_proj.weight": named(names.ATTENTION_OUT),
        "post_attention_layernorm.weight": named(names.ffn_norm(model)),
        "mlp.down_proj.weight": named(names.FFN_OUT),
    }
    if not model.gated:
        return tensors | {"mlp.up_proj.weight": named(names.FFN_IN)}
    gate, up = named(names.FFN_IN).chunk(2)
    return tensors | {"mlp.gate_proj.weight": gate, "mlp.up_proj.weight": up}


def split_qkv(model: ModelConfig, fused: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Query, key and value matrices out of Megatron's fused one: per query group its queries, one key, one value."""
    queries = model.heads // model.query_groups
    grouped = fused.view(model.query_groups, queries + 2, model.head_size, model.hidden_size)
    query, key, value = grouped.split([queries, 1, 1], dim=1)
    return tuple(part.reshape(-1, model.hidden_size) for part in (query, key, value))  # type: ignore[return-value]


def _times(tensor: torch.Tensor, factor: float) -> torch.Tensor:
    return (tensor.float() * factor).to(tensor.dtype)
