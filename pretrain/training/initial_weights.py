"""First weights that depend on the seed and a parameter's name alone, not on how the model is cut over processes.

Megatron draws them in building order from each rank's random state, so a second pipeline stage starts elsewhere than
the same layers on one process. Price: each rank draws the whole of a matrix before it keeps its part.
"""

import hashlib
import re

import torch
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel

from tokensieve.pretrain.training.model_config import ModelConfig
from tokensieve.pretrain.training.optimizer import initial_std

_EMBEDDING = "embedding.word_embeddings.weight"
_LAYER = re.compile(r"decoder\.layers\.(\d+)\.(.+)")


def leave_weights(weight: torch.Tensor) -> torch.Tensor:
    """An init method for Megatron that does nothing: `draw_weights` comes after it."""
    return weight


def draw_weights(module: GPTModel, model: ModelConfig, seed: int) -> None:
    """Give every matrix of this rank's chunk its first weights; norms keep their ones. `seed` equal on all ranks."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.dim() < 2:
                continue
            full_name = global_name(module, name)
            generator = torch.Generator().manual_seed(_seed_of(full_name, seed))
            whole = torch.empty(_whole_shape(parameter), dtype=torch.float32)
            whole.normal_(0.0, initial_std(model, full_name, parameter), generator=generator)
            parameter.copy_(_own_part(whole, parameter))


def global_name(module: GPTModel, name: str) -> str:
    """A parameter's name in the uncut model: layers counted from the first stage, a tied output as the embedding."""
    if name == "output_layer.weight" and module.share_embeddings_and_output_weights:
        return _EMBEDDING
    found = _LAYER.fullmatch(name)
    if not found:
        return name
    layer = module.decoder.layers[int(found[1])]
    return f"decoder.layers.{layer.layer_number - 1}.{found[2]}"  # type: ignore[operator]


def _seed_of(name: str, seed: int) -> int:
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1  # torch takes 63 bits


def _whole_shape(parameter: torch.Tensor) -> tuple[int, ...]:
    shape = list(parameter.shape)
    if getattr(parameter, "tensor_model_parallel", False):
        shape[parameter.partition_dim] *= parallel_state.get_tensor_model_parallel_world_size()  # type: ignore[attr-defined]
    return tuple(shape)


def _own_part(whole: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """This tensor-parallel rank's rows or columns; a gated FFN's are strided, since gate and up lie one on another."""
    if not getattr(parameter, "tensor_model_parallel", False):
        return whole
    axis, stride = parameter.partition_dim, parameter.partition_stride  # type: ignore[attr-defined]
    ranks = parallel_state.get_tensor_model_parallel_world_size()
    pieces = whole.split(parameter.shape[axis] // stride, dim=axis)
    return torch.cat(pieces[parallel_state.get_tensor_model_parallel_rank() :: ranks], dim=axis)
