"""Packs through ONNX Runtime on a CPU, in float32 or with int8 weights.

The graph is made from the bundle, compared with torch and kept (`onnx_graph.py`); a worker that finds it there needs
neither torch nor the exporter. Rows are padded where documents of a pack differ in length: `computed` says how much.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from udfs.scoring.backends.onnx_graph import Precision, prepared_graph
from udfs.scoring.backends.onnx_session import OnnxSession
from udfs.scoring.backends.torch_packed import Done

if TYPE_CHECKING:
    from udfs.bundle import Bundle


class OnnxBackend:
    """The `Backend` of bundles that share an encoder. `agreement`: how far its graph is from torch on the probe.

    Raises:
        ImportError: onnxruntime is not installed, or the graph has yet to be made and what makes it is not.
        ExportError, GraphRefused: the bundle cannot be an ONNX graph, or that graph does not agree with torch.
    """

    def __init__(
        self, members: "Sequence[Bundle]", *, precision: Precision, threads: int = 1, token_budget: int = 4096
    ) -> None:
        graph = prepared_graph(members, precision)
        self.name = f"onnx {'float32' if precision == 'fp32' else precision}"
        self.token_budget = token_budget
        self.out_of_memory = 0
        self.agreement = graph.record.agreement
        self._session = OnnxSession(graph.folder, graph.record.layout, threads)

    def submit(self, ids_P: np.ndarray, bounds_N1: np.ndarray) -> Done:
        """As `Backend.submit`; the values are there when it returns."""
        values_PH, computed = self._session.run(ids_P, bounds_N1)
        return Done(computed=computed, values_PH=values_PH)

    def busy_seconds(self) -> float:
        """As `Backend.busy_seconds`."""
        return self._session.seconds
