"""Encoders: packed token ids in, one feature vector per token out.

One file per kind of encoder, found by its name, so that a bundle of one kind never imports the libraries of another.
Torch is imported by those files, not here.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import LongTensor, Tensor, nn


class Encoder(Protocol):
    """A torch module that sees the left and the right of every token, and never across a document's bounds."""

    dim: int

    def __call__(self, ids_T: "LongTensor", bounds_D1: "LongTensor") -> "Tensor":
        """Features [T, dim] of T packed tokens; document d is ids_T[bounds_D1[d]:bounds_D1[d + 1]]."""
        ...


def kinds() -> list[str]:
    """The names that a configuration's `type` may have."""
    return sorted(module.name for module in iter_modules(__path__))


def build(config: dict[str, Any]) -> "nn.Module":
    """The encoder that `config` describes, with fresh weights; `config["type"]` names the file, the rest is its shape.

    Raises:
        ValueError: no `type`, or one that is not a file of this folder; the known ones are listed.
        TypeError: a key that this kind of encoder does not have, or one that it lacks.
    """
    kind = config.get("type")
    if kind not in kinds():
        raise ValueError(f"encoder type {kind!r} is not known; the known types are: {', '.join(kinds())}")
    shape = {key: value for key, value in config.items() if key != "type"}
    return import_module(f"{__name__}.{kind}").build(shape)
