"""The whole model on one process: tensor-parallel parts joined, pipeline stages sent to the first process.

Parameters travel one by one, so the first process holds the model and one matrix more. Traded away: several processes
writing the weights at once; checkpoints do that, the final weights are written once.
"""

from collections.abc import Iterator

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel

from tokensieve.pretrain.training.initial_weights import global_name
from tokensieve.pretrain.training.parallel import Ranks


def whole_weights(model: GPTModel, ranks: Ranks) -> dict[str, torch.Tensor]:
    """Every parameter under its name in the uncut model, on the CPU; empty on every process but the first.

    All processes must call it. A tied output layer is left out, since it is the embedding.
    """
    own = {global_name(model, name): one for name, one in _joined(model, ranks)}
    if ranks.pipeline_size == 1:
        return {name: one.cpu().contiguous() for name, one in own.items()} if ranks.rank == 0 else {}
    if ranks.data or ranks.tensor:
        return {}
    return _first_stage_receives(own, ranks)


def _joined(model: GPTModel, ranks: Ranks) -> Iterator[tuple[str, torch.Tensor]]:
    tied = model.share_embeddings_and_output_weights and ranks.pipeline_size > 1
    for name, parameter in model.named_parameters():
        part = parameter.detach()
        if ranks.tensor_size > 1 and getattr(parameter, "tensor_model_parallel", False):
            parts = [torch.empty_like(part) for _ in range(ranks.tensor_size)]
            dist.all_gather(parts, part.contiguous(), group=parallel_state.get_tensor_model_parallel_group())
            part = _join(parts, parameter.partition_dim, parameter.partition_stride)  # type: ignore[attr-defined]
        if not (tied and name == "output_layer.weight"):
            yield name, part


def _join(parts: list[torch.Tensor], axis: int, stride: int) -> torch.Tensor:
    """Undoes the cut; a gated layer's parts hold a piece of each of its `stride` matrices."""
    pieces = [part.chunk(stride, dim=axis) for part in parts]
    return torch.cat([piece[at] for at in range(stride) for piece in pieces], dim=axis)


def _first_stage_receives(own: dict[str, torch.Tensor], ranks: Ranks) -> dict[str, torch.Tensor]:
    group = parallel_state.get_pipeline_model_parallel_group()
    members = dist.get_process_group_ranks(group)  # type: ignore[arg-type]
    if ranks.pipeline:
        what = [[(name, tuple(one.shape), str(one.dtype)) for name, one in own.items()]]
        dist.send_object_list(what, dst=members[0])
        for one in own.values():
            dist.send(one.contiguous(), dst=members[0])
        return {}
    weights = {name: one.cpu().contiguous() for name, one in own.items()}
    device = next(iter(own.values())).device
    for member in members[1:]:
        what = [None]
        dist.recv_object_list(what, src=member)
        for name, shape, dtype in what[0]:  # type: ignore[union-attr]
            received = torch.empty(shape, dtype=getattr(torch, dtype.removeprefix("torch.")), device=device)
            dist.recv(received, src=member)
            weights[name] = received.cpu()
    return weights
