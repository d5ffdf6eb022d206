"""Tokens on which a back end is compared with another before it is used: the same for the same bundle, everywhere.

The text is the demo's, so an int8 graph is judged on text and not on random ids, on which activations are larger or
smaller than those it will meet.
"""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from udfs.installed import conf_folder

if TYPE_CHECKING:
    from udfs.bundle import Bundle

# Tokens of the windows, longest first: full ones, of like length, equal, one token. None is longer than the bundle's.
LENGTHS = (1024, 700, 499, 498, 300, 200, 199, 198, 100, 40, 40, 39, 7, 1, 1)


def probe(bundle: "Bundle") -> tuple[np.ndarray, np.ndarray]:
    """A pack, as in `Backend.submit`: about 4,000 ids of a window of 1,024; the first window is always full."""
    lengths_N = np.sort(np.minimum([bundle.window, *LENGTHS[1:]], bundle.window))[::-1]
    bounds_N1 = np.concatenate([[0], np.cumsum(lengths_N)]).astype(np.int64)
    ids_T = _demo_ids(bundle)
    return np.resize(ids_T, bounds_N1[-1]).astype(np.int64), bounds_N1


def _demo_ids(bundle: "Bundle", texts: int = 40) -> np.ndarray:
    """Ids of the first texts of the demo, end to end."""
    file = sorted((conf_folder() / "demo").glob("*.parquet"))[0]
    column = pq.read_table(file, columns=["text"]).column("text").slice(0, texts)
    return bundle.tokenizer().encode(column.to_pylist()).ids_T
