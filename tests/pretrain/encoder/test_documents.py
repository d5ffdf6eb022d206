"""Which documents a source yields, and that every other one is counted."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pretrain.encoder.made import write_texts
from tokensieve.pretrain.encoder.config import SourceConfig
from tokensieve.pretrain.encoder.documents import read_texts
from tokensieve.pretrain.errors import DatasetError


def _source(path: Path, **more: object) -> SourceConfig:
    return SourceConfig.model_validate({"name": "made", "path": str(path), "share": 1, **more})


def _sidecar(folder: Path, **columns: list) -> Path:
    pq.write_table(pa.table(columns), folder / "labels.parquet")
    return folder / "labels.parquet"


def test_a_sidecar_decides_by_document_id(tmp_path: Path):
    part = write_texts(tmp_path, ["zero", "one", "two"])
    sidecar = _sidecar(tmp_path, id=["d2", "d1", "d0"], domain=["law", "medicine", "medicine"], free=["A", "B", None])
    source = _source(part, sidecar=sidecar, where={"domain": ["medicine"]}, license_column="free")
    (texts,) = read_texts(source)
    assert texts.texts == ["zero", "one"]
    assert texts.licenses == ["not stated", "B"]
    assert (texts.filtered, texts.empty) == (1, 0)


def test_the_files_own_columns_decide_where_there_is_no_sidecar(tmp_path: Path):
    part = write_texts(tmp_path, ["a", "b", "c", "d"], good=[True, False, True, None], kind=["x", "x", "y", "x"])
    (texts,) = read_texts(_source(part, where={"good": [True]}, unless={"kind": ["y"]}, license="MIT"))
    assert (texts.texts, texts.licenses, texts.filtered) == (["a"], ["MIT"], 3)


def test_documents_without_text_are_counted(tmp_path: Path):
    part = write_texts(tmp_path, ["a", "", "c"], other=["x", "y", None])
    (texts,) = read_texts(_source(part, text="other"))
    assert (texts.texts, texts.empty) == (["x", "y"], 1)
    (texts,) = read_texts(_source(part))
    assert (texts.texts, texts.empty) == (["a", "c"], 1)


@pytest.mark.parametrize(
    ("columns", "more", "message"),
    [
        ({"id": ["d0"], "domain": ["law"]}, {}, "no row for document 'd1'"),
        ({"id": ["d0", "d1", "d1"], "domain": ["law"] * 3}, {}, "documents with two rows"),
        ({"id": ["d0", "d1"], "topic": ["law"] * 2}, {}, "lacks domain; it has: id, topic"),
        ({"id": ["d0", "d1"], "domain": [1, 2]}, {}, "domain of .* is int64"),
        ({"id": ["d0", "d1"], "domain": ["law"] * 2}, {"text": "body"}, "lacks body; it has: id, text"),
    ],
)
def test_labels_that_do_not_fit_are_an_error_and_never_a_guess(tmp_path: Path, columns: dict, more: dict, message: str):
    part = write_texts(tmp_path, ["a", "b"])
    source = _source(part, sidecar=_sidecar(tmp_path, **columns), where={"domain": ["law"]}, **more)
    with pytest.raises(DatasetError, match=message):
        list(read_texts(source))


def test_a_pattern_without_files_is_an_error(tmp_path: Path):
    with pytest.raises(DatasetError, match="no file matches"):
        list(read_texts(_source(tmp_path / "*.parquet")))
