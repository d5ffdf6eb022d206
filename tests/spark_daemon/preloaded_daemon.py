"""Spark's daemon of Python workers, made for tasks of a few rows: a fork finds what it needs already imported.

Only libraries: our own code is imported by each worker, as it is for users. PySpark comes from its package, not from
the zip that Spark puts first: each task asks Python to look at its paths anew, which reads a zip for a fifth of a
second and a folder for nothing. What is imported is frozen: each task ends in a collection of all that is not.
"""

import gc
import sys

sys.path[:] = [path for path in sys.path if not path.endswith(".zip")]
sys.path_importer_cache.clear()

import awkward  # noqa: E402
import pyarrow.compute  # noqa: E402
import pyarrow.dataset  # noqa: E402
import pyarrow.parquet  # noqa: E402
import tokenizers  # noqa: E402
import torch._dynamo  # noqa: E402
from pyspark.daemon import manager  # noqa: E402

LOADED = (awkward, pyarrow.compute, pyarrow.dataset, pyarrow.parquet, tokenizers, torch._dynamo)

if __name__ == "__main__":
    gc.freeze()
    manager()
