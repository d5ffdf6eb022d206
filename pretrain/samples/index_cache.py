"""Megatron's index cache: one folder per corpus, and no file in it that could run code.

Megatron loads its `.npy` indices with pickling allowed, and names them by neither content nor time of the shards. So
the folder is named by the manifest's id, and an array of objects in it is refused before Megatron opens it.
"""

from pathlib import Path

import numpy as np

from tokensieve.pretrain.errors import DatasetError


def refuse_pickles(folder: str | Path | None, names: str = "*.npy") -> None:
    """Reads the headers of the folder's indices. Raises DatasetError for one that is no plain array.

    `names`: a glob. While other processes may be writing indices of other data sets, name those of one's own.
    """
    if folder is None:
        return
    for path in sorted(Path(folder).glob(names)):
        with path.open("rb") as stream:
            try:
                version = np.lib.format.read_magic(stream)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                _, _, dtype = read(stream)
            except ValueError as error:
                raise DatasetError(f"{path}: not an index of Megatron ({error}); delete the folder {folder}") from None
        if dtype.hasobject:
            raise DatasetError(f"{path}: holds pickled objects, which no index does; delete the folder {folder}")
