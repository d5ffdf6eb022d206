"""`torch.compile` for the parts of an encoder where it pays: norms, rotation, squared ReLU, sums between matrices.

Only the two parts of every block around attention are compiled, for any number of tokens: one compilation serves all
blocks, packs of other documents need no second one, and attention stays the kernel that it is. A start costs half a
minute a worker and a C++ compiler on a CPU, some seconds and Triton on a GPU.
"""

import torch
from torch import nn

from tokensieve.udfs.encoders.block import Block


def compile_blocks(encoder: nn.Module) -> None:
    """Compiles the blocks of an encoder in place, at their first pack; for inference.

    Raises:
        ValueError: an encoder that is not made of our blocks.
    """
    blocks = [module for module in encoder.modules() if isinstance(module, Block)]
    if not blocks:
        raise ValueError(
            f"score.backend=compile: {type(encoder).__name__} is not made of blocks that can be compiled; "
            "use score.backend=torch"
        )
    for block in blocks:
        # Assigned, not declared: the class keeps its plain methods for training.
        setattr(block, "before", torch.compile(block.before, dynamic=True, fullgraph=True))  # noqa: B010
        setattr(block, "after", torch.compile(block.after, dynamic=True, fullgraph=True))  # noqa: B010
