"""Encoders: packed token ids in, one feature vector per token out; built by the name of their kind.

A kind's file is imported when it is asked for, so that a bundle of one kind never imports the libraries of another.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import LongTensor, Tensor, nn


class EncoderError(ValueError):
    """An encoder that is missing, incomplete or not understood; the message says which and what to do."""


class Encoder(Protocol):
    """A torch module that sees the left and the right of every token, and never across a document's bounds."""

    dim: int

    def __call__(self, ids_T: "LongTensor", bounds_D1: "LongTensor") -> "Tensor":
        """Features [T, dim] of T packed tokens; document d is ids_T[bounds_D1[d]:bounds_D1[d + 1]].

        Bounds belong on the CPU wherever the ids are: from a GPU they must be fetched, which waits for it. An encoder
        that pads or reads ids of its own says how many rows it computes, by `computed_rows(lengths_D) -> int`.
        """
        ...


KINDS = {
    "bilm": "bilm.build",
    "huggingface": "hugging_face.build",
    "masked": "bilm.build_masked",
    "sliding": "sliding.build",
}
"""What a configuration's `type` may be, and the file of this folder and its function that builds it."""


def build(config: dict[str, Any]) -> "nn.Module":
    """The encoder that `config` describes, with fresh weights; `config["type"]` names its kind, the rest is its shape.

    Raises:
        EncoderError: no `type`, or one that is not known; those that are are listed.
        ValueError: a shape that cannot be.
        TypeError: a key that this kind of encoder does not have, or one that it lacks.
    """
    kind = config.get("type")
    if kind not in KINDS:
        raise EncoderError(f"encoder type {kind!r} is not known; the known types are: {', '.join(KINDS)}")
    shape = {key: value for key, value in config.items() if key != "type"}
    module, _, function = KINDS[kind].partition(".")
    return getattr(import_module(f"{__package__}.{module}"), function)(shape)


@dataclass(frozen=True, kw_only=True)
class Outline:
    """What is known of an encoder without its weights.

    Attributes:
        dim: width of its features. shapes: names and shapes of its state.
        max_tokens: the longest window that it has positions for, None for any.
    """

    dim: int
    shapes: dict[str, tuple[int, ...]]
    max_tokens: int | None


def outline(config: dict[str, Any]) -> Outline:
    """The outline of the encoder that `config` describes; nothing is allocated. Raises as `build`."""
    import torch

    with torch.device("meta"):
        module = build(config)
    return Outline(
        dim=cast("Encoder", module).dim,
        shapes={key: tuple(value.shape) for key, value in module.state_dict().items()},
        max_tokens=getattr(module, "max_tokens", None),
    )


def check_state(config: dict[str, Any], state: "Mapping[str, Tensor]", where: str) -> None:
    """Raises EncoderError unless a state has all that `build(config)` needs, in its shape, and nothing else."""
    wanted, found = outline(config).shapes, {key: tuple(value.shape) for key, value in state.items()}
    kind = f"an encoder of type {config['type']}"
    if lacking := sorted(wanted.keys() - found.keys()):
        raise EncoderError(f"{where} lacks {', '.join(lacking[:5])} ({len(lacking)} in all), which {kind} needs")
    if strange := sorted(found.keys() - wanted.keys()):
        raise EncoderError(f"{where} holds {', '.join(strange[:5])} ({len(strange)} in all), unknown to {kind}")
    if other := [key for key in wanted if wanted[key] != found[key]]:
        raise EncoderError(f"{where}: {other[0]} is {found[other[0]]}, but {kind} of this shape has {wanted[other[0]]}")
