"""Two context managers around megatron-core: one lets it train on a CPU, one silences what is known to be harmless.

On a CPU, for tests and small runs, the few torch.cuda calls that Megatron hard-codes are stood in for; it offers no
setting for this (0.16.1: the forward pass itself moves tensors to "cuda"). Everything replaced is put back, and where
CUDA exists the shim refuses to work. Silenced are messages about libraries that are not installed and about Megatron's
own defaults, by their text; every other warning stays visible.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

CPU = torch.device("cpu")
# Megatron compares Tensor.type() with these names before it clips or shards gradients.
_CUDA_TYPE_NAMES = {
    torch.float32: "torch.cuda.FloatTensor",
    torch.bfloat16: "torch.cuda.BFloat16Tensor",
    torch.float16: "torch.cuda.HalfTensor",
}
HARMLESS = (
    ".*(Transformer Engine|Apex).*not installed",
    ".*full scope is deprecated",  # TransformerConfig says so about its own default
)


class CpuShimError(RuntimeError):
    """The shim was asked for on a machine whose work CUDA should do."""


@contextlib.contextmanager
def cpu_shim() -> Iterator[None]:
    """Within the block Megatron's CUDA calls run on the CPU. Build the model inside it, not before.

    Raises CpuShimError where CUDA is available. Other threads see the replaced torch.cuda functions too.
    """
    if torch.cuda.is_available():
        raise CpuShimError("CUDA is available here; set device: cuda or hide it (CUDA_VISIBLE_DEVICES=)")
    from megatron.core.tensor_parallel import random as megatron_random

    with contextlib.ExitStack() as stack:
        for module, replacements in ((torch.cuda, _TORCH_CUDA), (megatron_random, _MEGATRON_RANDOM)):
            for name, value in replacements.items():
                stack.callback(setattr, module, name, getattr(module, name))
                setattr(module, name, value)
        stack.enter_context(_CudaMeansCpu())
        yield


@contextlib.contextmanager
def quiet_megatron() -> Iterator[None]:
    """Within the block, hide the messages in `HARMLESS` and Megatron's deprecation warnings."""
    with warnings.catch_warnings():
        for message in HARMLESS:
            warnings.filterwarnings("ignore", message=message)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"megatron\.")
        yield


def _is_cuda(device: Any) -> bool:
    return (isinstance(device, str) and device.startswith("cuda")) or (
        isinstance(device, torch.device) and device.type == "cuda"
    )


class _CudaMeansCpu(TorchFunctionMode):
    """Every torch function that is asked for "cuda" gives the CPU instead."""

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if "device" in kwargs and _is_cuda(kwargs["device"]):
            kwargs = {**kwargs, "device": CPU}
        if func is torch.Tensor.cuda:
            return args[0]
        if func is torch.Tensor.type and len(args) == 1 and not kwargs:
            return _CUDA_TYPE_NAMES.get(args[0].dtype) or func(*args)
        if func is torch.Tensor.to and len(args) > 1 and _is_cuda(args[1]):
            args = (args[0], CPU, *args[2:])
        return func(*args, **kwargs)


class _Stream:
    """A CUDA stream with nothing in it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def wait_stream(self, *args: Any) -> None: ...
    def wait_event(self, *args: Any) -> None: ...
    def synchronize(self) -> None: ...


def _nothing(*args: Any, **kwargs: Any) -> None: ...


_TORCH_CUDA: dict[str, Any] = {
    "current_device": lambda: CPU,
    "synchronize": _nothing,
    "set_device": _nothing,
    "empty_cache": _nothing,
    "Stream": _Stream,
    "default_stream": _Stream,
    "current_stream": _Stream,
    "stream": lambda stream: contextlib.nullcontext(),
    "manual_seed": torch.manual_seed,
    "get_rng_state": lambda *args, **kwargs: torch.get_rng_state(),
    "set_rng_state": lambda state, *args, **kwargs: torch.set_rng_state(state),
}
_MEGATRON_RANDOM: dict[str, Any] = {
    "_get_cuda_rng_state": lambda *args, **kwargs: torch.get_rng_state(),
    "_set_cuda_rng_state": lambda state, *args, **kwargs: torch.set_rng_state(state),
}
