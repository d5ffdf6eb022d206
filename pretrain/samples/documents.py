"""Between a document's place in a shard and its id: reads the index `docs/<shard>.parquet` beside the shards."""

from pathlib import Path

import pyarrow.parquet as pq

from tokensieve.pretrain.errors import DatasetError
from tokensieve.pretrain.samples.corpus import CorpusShard


def index_file(prefix: Path) -> Path:
    """The document index of the shard with this prefix."""
    return prefix.parent / "docs" / f"{prefix.name}.parquet"


def read_index(prefix: Path, columns: list[str]) -> dict[str, list]:
    """Columns of the index, one value a document, None throughout for a column that it lacks.

    Raises DatasetError where there is no index.
    """
    path = index_file(prefix)
    if not path.is_file():
        raise DatasetError(f"{path}: the document index of {prefix.name} is missing; export again")
    there = set(pq.read_schema(path).names)
    table = pq.read_table(path, columns=[name for name in columns if name in there])
    return {name: table[name].to_pylist() if name in there else [None] * table.num_rows for name in columns}


def places(shards: list[CorpusShard], doc_id: str) -> list[tuple[CorpusShard, int]]:
    """Every place of a document in these shards: several where a mix repeats it."""
    return [
        (shard, at)
        for shard in shards
        for at, found in enumerate(read_index(shard.prefix, ["doc_id"])["doc_id"])
        if found == doc_id
    ]
