"""Made-up documents with planted words: what a classifier has to find is known to the byte."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from tests.bundles import small_tokenizer
from tokensieve.pretrain.labelled.labels import Documents
from tokensieve.udfs.bundles.pretrained import PretrainedEncoder
from tokensieve.udfs.encoders.encoder import build
from tokensieve.udfs.labels.labels import DocumentLabels, encode_labels
from tokensieve.udfs.reading.text_rows import text_hash

PLANTED = ("insulin", "fever", "dose", "nurse", "surgeon", "diabetes")
NEAR = ("larva", "gene", "embryo", "wing", "zebrafish", "tissue")
PLAIN = ("ship", "cloth", "treaty", "market", "winter", "letter", "stone", "garden", "silver", "bridge")
SHAPE = {"type": "bilm", "vocab_size": 600, "dim": 16, "heads": 2, "hidden": 32, "layers": [1, 2, 3]}


def planted(count: int, seed: int = 0, words: int = 40) -> Documents:
    """Documents of `words` words; those of domain medicine have runs of planted words, which their labels mark."""
    rng = np.random.default_rng(seed)
    texts, labels, domains = [], [], []
    for at in range(count):
        domain = ("medicine", "biology", "humanities")[at % 3]
        chosen = rng.choice(NEAR + PLAIN if domain == "biology" else PLAIN, words).tolist()
        if domain == "medicine":
            for first in rng.integers(0, words - 3, 4).tolist():
                chosen[first : first + 3] = rng.choice(PLANTED, 3).tolist()
        texts.append(" ".join(chosen) + f" {seed}-{at}")
        labels.append(DocumentLabels(spans_N2=_places(chosen), document=float(domain == "medicine")))
        domains.append(domain)
    return Documents(
        ids=[f"{seed}-{at}" for at in range(count)],
        texts=texts,
        domains=domains,
        sources=["made up"] * count,
        licenses=["CC0 1.0"] * count,
        positive_D=np.array([domain == "medicine" for domain in domains], dtype=bool),
        borderline_D=np.zeros(count, dtype=bool),
        labels=labels,
    )


def coarse(documents: Documents) -> Documents:
    """The same documents without token labels."""
    return replace(documents, labels=None)


def write_documents(folder: Path, split: str, documents: Documents) -> None:
    """Writes one shard `SPLIT-00000.parquet` and its sidecar `labels-SPLIT.parquet`."""
    pq.write_table(pa.table({"id": documents.ids, "text": documents.texts}), folder / f"{split}-00000.parquet")
    sidecar = {
        "id": documents.ids,
        "domain": documents.domains,
        "source": documents.sources,
        "license": documents.licenses,
        "borderline": documents.borderline_D,
    }
    if documents.clusters is not None:
        sidecar["cluster"] = documents.clusters
    pq.write_table(pa.table(sidecar), folder / f"labels-{split}.parquet")


def write_commit(table: Path, said: dict, *folders: str) -> None:
    """Makes folders of Parquet files a table of ours."""
    (table / "_commits").mkdir(exist_ok=True)
    parts = [{"folder": name} for name in folders]
    content = {"counts": {}, "version": 0, "made_at": 0.0, **said, "parts": parts, "columns": {}}
    (table / "_commits" / "00000000.json").write_text(json.dumps(content))


def write_label_set(path: Path, documents: Documents, definition_id: str = "ab12", labeller: str = "spans") -> Path:
    """Writes the labels of the documents as a committed Parquet label set."""
    assert documents.labels is not None
    batch = path / "batch=00ff"
    batch.mkdir(parents=True)
    hashes = pa.array([text_hash(text) for text in documents.texts], pa.string())
    rows = encode_labels(pa.array(documents.ids, pa.string()), hashes, documents.labels)
    pq.write_table(pa.Table.from_batches([rows]), batch / "part-0.parquet")
    inputs = {"labeller": labeller, "policy": "medicine", "definition_id": definition_id}
    write_commit(path, {"batch": "00ff", "inputs": inputs}, batch.name)
    return path


def tiny_encoder(folder: Path, texts: Sequence[str], seed: int = 0) -> Path:
    """A pretrained encoder as a folder: a biLM of three layers with fresh weights, and a tokenizer of the texts.

    Its embedding is as large as a trained one, so that fresh blocks do not drown which token it is.
    """
    folder.mkdir(parents=True)
    tokenizer = small_tokenizer(folder / "made.json", texts)
    torch.manual_seed(seed)
    state = build(dict(SHAPE)).state_dict()
    for name, weight in state.items():
        if name.endswith("embedding.weight"):
            weight *= 50
    encoder = PretrainedEncoder(config=dict(SHAPE), state=state, tokenizer=tokenizer, window=64, margin=8)
    encoder.save(folder / "encoder")
    return folder / "encoder"


def _places(words: Sequence[str]) -> np.ndarray:
    """Byte spans [N, 2] of the planted words, without the spaces around them."""
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    starts = ends - [len(word) for word in words]
    marked = np.array([word in PLANTED for word in words])
    return np.stack([starts[marked], ends[marked]], axis=1).astype(np.int64).reshape(-1, 2)
