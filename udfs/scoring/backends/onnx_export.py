"""Writes a bundle's encoder and heads as an ONNX graph, and a graph's weights in int8.

Needs torch and onnxscript; a graph that stands in the cache needs neither. int8 is dynamic: a layer's inputs get one
scale a call, so a score depends a little on what shares its call, and weights keep 7 bits, because two products of 8
overflow the 16-bit sums of a CPU without VNNI and would make scores differ between machines. Heads stay in float32.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
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
    _need("torch", "onnx", "onnxscript")
    import torch

    from udfs.heads import ManyHeads
    from udfs.scoring.backends.onnx_forms import form

    first = members[0]
    encoder, heads = first.encoder(), ManyHeads([bundle.heads() for bundle in members])
    try:
        made = form(encoder, heads, first.window)
        with _quiet(), torch.no_grad():
            torch.onnx.export(
                made.module,
                made.inputs,
                folder / GRAPH,
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=_free_axes(made.layout),
                input_names=INPUTS,
                output_names=[OUTPUT],
                external_data=True,
                verbose=False,
            )
    except (ValueError, torch.onnx.errors.OnnxExporterError) as error:
        why = str(error.__cause__ or error).splitlines()[0]
        raise ExportError(f"bundle {first.path} has no ONNX graph, use score.backend=torch: {why}") from error
    return made.layout


def quantize(graph: Path, folder: Path) -> None:
    """Writes GRAPH and WEIGHTS with the encoder's matrices in int8, made of a float32 graph.

    Raises ImportError without onnx.
    """
    _need("onnx")
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(graph)
    # The exporter leaves the shapes that weights had before it turned them; onnx infers all shapes anew.
    del model.graph.value_info[:]
    heads = [node.name for node in model.graph.node if any(name.startswith("heads.") for name in node.input)]
    with _quiet():
        quantize_dynamic(
            model,
            folder / GRAPH,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=heads,
            use_external_data_format=True,
            extra_options={"MatMulConstBOnly": True},
        )


def _free_axes(layout: "Layout") -> tuple[Any, Any]:
    from torch.export import Dim

    if layout.kind == "rows":
        return {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}, {0: Dim.DYNAMIC}
    tokens = layout.multiple * Dim("blocks", min=1)
    return {0: tokens}, {0: tokens}


def _need(*modules: str) -> None:
    for name in modules:
        try:
            import_module(name)
        except ImportError as error:
            raise ImportError(f"making an ONNX graph needs {name}: pip install 'tokensieve[onnx]'") from error


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
