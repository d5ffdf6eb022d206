"""Documents with labels: coarse ones, and token targets."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.planted import coarse, planted, write_documents
from tokensieve.pretrain.errors import FitError
from tokensieve.pretrain.labelled.labels import content_share, provenance, read_documents, targets
from tokensieve.udfs.labels.labels import DocumentLabels
from tokensieve.udfs.reading.text_rows import made_id
from tokensieve.udfs.tokenizing.tokenizer import Tokenized


def _tokens(pieces: list[list[str]]) -> Tokenized:
    flat = [piece for document in pieces for piece in document]
    return Tokenized(
        ids_T=np.arange(len(flat), dtype=np.int32),
        bytes_T=np.array([len(piece.encode()) for piece in flat], dtype=np.int32),
        bounds_D1=np.cumsum([0, *map(len, pieces)]).astype(np.int64),
        failed={},
    )


def _spans(*pairs: tuple[int, int]) -> np.ndarray:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def test_without_token_labels_every_token_has_its_documents_label():
    documents = coarse(planted(3))
    value_T, known_T = targets(documents, _tokens([["b", "c"], ["d"]]), first=0)
    assert value_T.tolist() == [1, 1, 0]
    assert known_T.tolist() == [True, True, True]
    assert targets(documents, _tokens([["d", "e"]]), first=1)[0].tolist() == [0, 0]


def test_token_labels_give_soft_values_and_leave_the_unknown_unknown():
    documents = replace(
        planted(2),
        labels=[
            DocumentLabels(),
            DocumentLabels(
                spans_N2=_spans((1, 3)), value_N=np.array([0.7], dtype=np.float32), unknown_M2=_spans((4, 6))
            ),
        ],
    )
    value_T, known_T = targets(documents, _tokens([["ab", "c", "d", "ef"]]), first=1)
    assert value_T.tolist() == pytest.approx([0.7, 0.7, 0, 0])
    assert known_T.tolist() == [True, True, True, False]


def test_where_keeps_labels_and_clusters_beside_their_documents():
    documents = replace(planted(4), clusters=["a", "b", "", "d"])
    some = documents.where(np.array([False, True, False, True]))
    assert some.clusters == ["b", "d"]
    assert documents.labels is not None
    assert some.labels == [documents.labels[1], documents.labels[3]]


def test_missing_shards_and_rows_of_the_sidecar_are_named(tmp_path):
    write_documents(tmp_path, "train", planted(3, seed=1))
    with pytest.raises(FileNotFoundError, match="no corpus shard"):
        read_documents([], tmp_path / "labels-train.parquet", "medicine")
    write_documents(tmp_path, "heldout", planted(3, seed=2))
    with pytest.raises(FitError, match="no label for 3 documents, the first is 2-0"):
        read_documents([tmp_path / "heldout-00000.parquet"], tmp_path / "labels-train.parquet", "medicine")


def test_a_sidecar_with_clusters_brings_them_along(tmp_path):
    write_documents(tmp_path, "train", replace(planted(2), clusters=["one", ""]))
    read = read_documents([tmp_path / "train-00000.parquet"], tmp_path / "labels-train.parquet", "medicine")
    assert read.clusters == ["one", ""]
    assert read.positive_D.tolist() == [True, False]
    assert read.labels is None


def test_content_share_depends_on_content_alone():
    assert content_share(["b", "a"]).tolist() == content_share(["a", "b"]).tolist()[::-1]
    assert 0.4 < content_share([str(i) for i in range(2000)]).mean() < 0.6


def test_provenance_groups_by_source_and_licence_and_ignores_order():
    documents = replace(planted(4), licenses=["CC BY 4.0", "CC0 1.0", "CC BY 4.0", "CC BY 4.0"])
    backwards = replace(documents, **{k: getattr(documents, k)[::-1] for k in ("ids", "sources", "licenses")})
    assert [(s.license, s.documents) for s in provenance(documents)] == [("CC BY 4.0", 3), ("CC0 1.0", 1)]
    assert provenance(backwards) == provenance(documents)


def test_a_row_without_an_id_is_named_as_scoring_names_it(tmp_path):
    pq.write_table(pa.table({"text": ["a", "b"]}), tmp_path / "part-0.parquet")
    documents = read_documents([tmp_path / "part-0.parquet"], None, None)
    assert documents.ids == [made_id("part-0.parquet", 0), made_id("part-0.parquet", 1)]
    assert not documents.positive_D.any()
