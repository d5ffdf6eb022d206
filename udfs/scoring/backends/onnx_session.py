"""One ONNX graph in onnxruntime on a CPU: packs in, values out."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from udfs.scoring.backends.onnx_export import GRAPH, INPUTS
from udfs.scoring.backends.onnx_layout import Layout


class OnnxSession:
    """A graph in memory; `seconds` is the time that it has computed. Raises ImportError without onnxruntime."""

    def __init__(self, folder: Path, layout: Layout, threads: int) -> None:
        runtime = onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        # Shapes differ from call to call: a plan of the memory for each of them would only be kept and never used.
        options.enable_mem_pattern = False
        self._session = runtime.InferenceSession(folder / GRAPH, options, providers=["CPUExecutionProvider"])
        self._layout = layout
        self._width: int = self._session.get_outputs()[0].shape[-1]
        self.seconds = 0.0

    def run(self, ids_P: np.ndarray, bounds_N1: np.ndarray) -> tuple[np.ndarray, int]:
        """Values float32 [P, 2 * policies] of a pack as in `Backend.submit`, and the rows of tokens computed."""
        began = time.perf_counter()
        found, computed = [np.zeros((0, self._width), np.float32)], 0
        for call in self._layout.calls(ids_P, bounds_N1):
            values = self._session.run(None, dict(zip(INPUTS, (call.ids, call.places), strict=True)))[0]
            found.append(values.reshape(-1, self._width)[call.own_N])
            computed += call.computed
        self.seconds += time.perf_counter() - began
        return np.concatenate(found), computed


def onnxruntime() -> Any:
    """The package. Raises ImportError that names the extra."""
    try:
        import onnxruntime as runtime
    except ImportError as error:
        raise ImportError("score.backend=onnx needs onnxruntime: pip install 'tokensieve[onnx]'") from error
    return runtime
