"""Maximal update parametrisation by hand, since megatron-core 0.16.1 has none (arXiv 2601.21571, appendix).

With m = width / base width: attention scores times 1 / head size, hidden matrices start at std / sqrt(m) and learn at
lr / m, logits times 1 / m. Without muP m is 1 and the scores' factor the usual 1 / sqrt(head size). The released code
scales logits only where it computes a training loss, so its samples are m times too sharp; here every forward does.
"""

import math

import torch
from megatron.core.models.gpt import GPTModel

from pretrain.training.model_config import ModelConfig

# Written to the residual stream by every layer: GPT-2 starts them smaller, so that depth does not add up.
_RESIDUAL = ("self_attention.linear_proj.weight", "mlp.linear_fc2.weight")


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
