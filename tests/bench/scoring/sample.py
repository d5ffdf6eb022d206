"""Documents of the corpus, chosen by a hash of their ids so that their lengths are the corpus's, and shards of them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
ROW = 1024  # tokens of a row, where a competitor pads
MEDICINE = 0.18  # share of medicine documents in FineWeb-Edu (arXiv 2601.21571)


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The corpus's documents D in order of length: table of id, text, token_count and domain."""

    rows: pa.Table

    @classmethod
    def load(cls) -> "Corpus":
        """Reads the training shards. Raises FileNotFoundError where there are none."""
        files = sorted((DATA / "corpus").glob("train-*.parquet"))
        if not files:
            raise FileNotFoundError(f"no corpus in {DATA}")
        rows = pa.concat_tables([pq.read_table(file, columns=["id", "text", "token_count"]) for file in files])
        labels = pq.read_table(DATA / "corpus" / "labels-train.parquet", columns=["id", "domain"])
        order = [("token_count", "ascending"), ("id", "ascending")]
        return cls(rows=rows.join(labels, "id", join_type="inner").sort_by(order))

    def sample(self, tokens: int, seed: str) -> pa.Table:
        """Documents of about so many GPT-2 tokens in all, from equally many documents of every length."""
        return _spread(self.rows, round(tokens / _mean_tokens(self.rows)), seed)

    def with_medicine(self, tokens: int, seed: str) -> pa.Table:
        """The same with the share MEDICINE of documents about medicine."""
        is_medicine = pc.call_function("equal", [self.rows["domain"], pa.scalar("medicine")])
        medicine, others = self.rows.filter(is_medicine), self.rows.filter(pc.call_function("invert", [is_medicine]))
        mean = MEDICINE * _mean_tokens(medicine) + (1 - MEDICINE) * _mean_tokens(others)
        some = _spread(medicine, round(MEDICINE * tokens / mean), seed)
        return pa.concat_tables([some, _spread(others, round((1 - MEDICINE) * tokens / mean), seed)])

    def padding(self) -> list[str]:
        """What rows of ROW tokens cost on the whole corpus, in GPT-2's tokens."""
        lengths_D = self.rows["token_count"].to_numpy()
        cut, kept = np.ceil(lengths_D / ROW) * ROW, np.minimum(lengths_D, ROW)
        return [
            f"corpus in rows of {ROW}: {cut.sum() / lengths_D.sum():.2f} positions a token, long documents in several "
            f"rows; cut off after the first row: {len(lengths_D) * ROW / kept.sum():.2f} positions a token that is "
            f"kept, {1 - kept.sum() / lengths_D.sum():.0%} of the tokens lost"
        ]


def texts(rows: pa.Table) -> list[str]:
    return rows["text"].to_pylist()


def write_shards(rows: pa.Table, folder: Path, shards: int) -> int:
    """Writes Parquet files that hold like amounts of text; returns the largest one's bytes of text.

    The longest document goes first, each into the file that has least.
    """
    sizes_D = pc.call_function("binary_length", [rows["text"]]).to_numpy()
    filled, members = np.zeros(shards, dtype=np.int64), [[] for _ in range(shards)]
    for at in np.argsort(-sizes_D, kind="stable").tolist():
        shard = int(np.argmin(filled))
        filled[shard] += sizes_D[at]
        members[shard].append(at)
    folder.mkdir(parents=True)
    for shard, some in enumerate(members):
        pq.write_table(rows.take(sorted(some)), folder / f"part-{shard:05d}.parquet", compression="zstd")
    return int(filled.max())


def _spread(rows: pa.Table, count: int, seed: str) -> pa.Table:
    """One document, that of the lowest hash, of each of `count` equal parts of rows that are in order of length."""
    ids = rows["id"].to_pylist()
    hashes = [hashlib.sha256(f"{seed}{one}".encode()).digest() for one in ids]
    edges = np.linspace(0, len(ids), max(1, min(count, len(ids))) + 1).astype(int).tolist()
    chosen = [min(range(first, end), key=hashes.__getitem__) for first, end in zip(edges, edges[1:])]
    return rows.take(sorted(chosen, key=hashes.__getitem__))


def _mean_tokens(rows: pa.Table) -> float:
    return pc.call_function("mean", [rows["token_count"]]).as_py()
