"""Writes a bundle's encoder and heads as an ONNX graph, and a graph's weights in int8.

Needs torch and onnxscript; a graph that stands in the cache needs neither. int8 is dynamic: a layer's inputs get one
scale a call, so a score depends a little on what shares its call, and weights keep 7 bits, because two products of 8
overflow the 16-bit sums of a CPU without VNNI and would make scores differ between machines. Heads stay in float32.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from udfs.bundle import Bundle
    from udfs.scoring.backends.onnx_layout import Layout

GRAPH, WEIGHTS = "graph.onnx", "graph.onnx.data"
INPUTS, OUTPUT = ("ids", "places"), "values"
OPSET = 20  # the first with Gelu; from 23 on onnxruntime 1.31 refuses what the exporter makes of ModernBERT's rotary


class ExportError(ValueError):
    """A bundle that cannot be written as an ONNX graph; the message says which, why, and what to do."""


def export(members: "Sequence[Bundle]", folder: Path) -> "Layout":
    """Writes GRAPH and WEIGHTS of bundles that share an encoder, in float32; returns the graph's layout.

    Raises:
        ImportError: torch, onnx or onnxscript is not installed.
        ExportError: the encoder has no form for ONNX, or the exporter cannot translate it.
    """
    torch = _torch()
    from udfs.heads import ManyHeads
    from udfs.scoring.backends.onnx_forms import form

    first = members[0]
    try:
        made = form(first.encoder(), ManyHeads([bundle.heads() for bundle in members]), first.window)
        with _quiet(), torch.no_grad():
            torch.onnx.export(
                made.module,
                made.inputs,
                folder / GRAPH,
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=_free_axes(made.multiple),
                input_names=INPUTS,
                output_names=[OUTPUT],
                external_data=True,
                verbose=False,
            )
    except (ValueError, torch.onnx.errors.OnnxExporterError) as error:
        why = str(error).splitlines()[0]
        raise ExportError(f"bundle {first.path}: no ONNX graph could be made, use score.backend=torch: {why}") from error
    return made.layout


def quantize(graph: Path, folder: Path) -> None:
    """Writes GRAPH and WEIGHTS with the encoder's matrices in int8, from the float32 graph. ImportError without onnx."""
    _need("onnx")
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(graph)
    # The exporter leaves the shapes that weights had before it turned them; onnx infers all shapes anew.
    del model.graph.value_info[:]
    with _quiet():
        quantize_dynamic(
            model,
            folder / GRAPH,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[node.name for node in model.graph.node if any(name.startswith("heads.") for name in node.input)],
            use_external_data_format=True,
            extra_options={"MatMulConstBOnly": True},
        )


def _free_axes(multiple: int) -> tuple[Any, Any]:
    from torch.export import Dim

    if multiple == 1:
        return {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}, {0: Dim.DYNAMIC}
    tokens = multiple * Dim("blocks", min=1)
    return {0: tokens}, {0: tokens}


def _torch() -> Any:
    _need("onnx", "onnxscript")
    import torch

    return torch


def _need(*modules: str) -> None:
    from importlib.util import find_spec

    if lacking := [name for name in modules if find_spec(name) is None]:
        raise ImportError(f"making an ONNX graph needs {', '.join(lacking)}: pip install 'tokensieve[onnx]'")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps from the user's terminal what the exporter says about itself: its warnings, and its own loggers'."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "root")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
