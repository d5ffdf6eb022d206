"""Evaluation sets: three kinds of labels, streamed, with what is not labelled left out and counted."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from tests.planted import planted, write_documents, write_label_set
from tokensieve.pretrain.errors import SetError
from tokensieve.pretrain.measuring.sets import BATCH, LabelledSource, chunks, in_memory, input_files
from tokensieve.udfs.labels.labels import LabelError


def coarse(folder, **changes) -> LabelledSource:
    return LabelledSource(
        documents=str(folder / "train-*.parquet"),
        sidecar=folder / "labels-train.parquet",
        positive_domain="medicine",
        **changes,
    )


def test_coarse_labels_come_from_the_sidecar_a_few_documents_at_a_time(tmp_path):
    documents = planted(BATCH + 6)
    write_documents(tmp_path, "train", documents)
    found = list(chunks([coarse(tmp_path)]))
    assert [len(chunk.documents) for chunk in found] == [BATCH, 6]
    assert found[0].documents.ids == documents.ids[:BATCH]
    assert found[1].documents.positive_D.tolist() == documents.positive_D[BATCH:].tolist()
    assert found[0].documents.domains[:3] == ["medicine", "biology", "humanities"]
    assert found[0].documents.sources[0] == "made up"
    assert found[0].known_D.all()


def test_borderline_documents_are_left_out_and_counted_unless_asked_for(tmp_path):
    write_documents(tmp_path, "train", planted(4))
    sidecar = pq.read_table(tmp_path / "labels-train.parquet")
    doubted = sidecar.set_column(4, "borderline", pa.array([True, False, False, True]))
    pq.write_table(doubted, tmp_path / "labels-train.parquet")
    (chunk,) = chunks([coarse(tmp_path)])
    assert (len(chunk.documents), chunk.left_out) == (2, {"borderline": 2})
    (chunk,) = chunks([coarse(tmp_path, borderline=True)])
    assert (len(chunk.documents), chunk.left_out) == (4, {})


def test_a_label_set_gives_token_labels_and_documents_their_own(tmp_path):
    documents = planted(6)
    write_documents(tmp_path, "train", documents.where(documents.positive_D | ~documents.positive_D))
    path = write_label_set(tmp_path / "labels" / "spans", documents.where(documents.positive_D))
    source = LabelledSource(documents=str(tmp_path / "train-*.parquet"), label_set=path)
    (chunk,) = chunks([source], definition_id="ab12")
    assert chunk.left_out == {"not_in_label_set": 4}
    assert chunk.documents.positive_D.tolist() == [True, True]
    assert chunk.known_D.tolist() == [True, True]
    assert chunk.documents.labels is not None
    assert len(chunk.documents.labels[0].spans_N2) > 3
    with pytest.raises(LabelError, match="labelled by policy medicine"):
        list(chunks([source], definition_id="ffff"))


def spans_file(folder, **columns) -> LabelledSource:
    marks = [{"start": 2, "end": 3, "type": "medical/x"}, {"start": 0, "end": 1, "type": "biology/y"}]
    pq.write_table(
        pa.table({"text": ["éé日", "none", None], "spans": [marks, None, []], **columns}), folder / "s.parquet"
    )
    return LabelledSource(documents=str(folder / "s.parquet"), spans="medical/")


def test_human_spans_become_bytes_of_the_wanted_types(tmp_path):
    (chunk,) = chunks([spans_file(tmp_path)])
    assert chunk.documents.labels is not None
    first, second = chunk.documents.labels
    assert (first.spans_N2.tolist(), len(first.unknown_M2), len(second.spans_N2)) == ([[4, 7]], 0, 0)
    assert chunk.left_out == {"no_text": 1}
    assert chunk.known_D.tolist() == [False, False]
    assert len(set(chunk.documents.ids)) == 2


def test_unmarked_text_may_be_unknown_instead_of_retain(tmp_path):
    source = spans_file(tmp_path).model_copy(update={"unmarked": "unknown"})
    (chunk,) = chunks([source])
    assert chunk.documents.labels is not None
    assert [one.unknown_M2.tolist() for one in chunk.documents.labels] == [[[0, 7]], [[0, 4]]]


def test_columns_of_the_documents_can_group_them(tmp_path):
    source = spans_file(tmp_path, id=[7, 8, 9], field=["a", "b", "c"]).model_copy(update={"domain": "field"})
    (chunk,) = chunks([source])
    assert (chunk.documents.ids, chunk.documents.domains) == (["7", "8"], ["a", "b"])


def test_documents_in_memory_are_cut_alike():
    documents = planted(BATCH + 1)
    found = list(in_memory(documents))
    assert [len(chunk.documents) for chunk in found] == [BATCH, 1]
    assert found[1].documents.ids == documents.ids[BATCH:]
    assert found[1].known_D.tolist() == [True]


def test_inputs_are_named_by_the_hash_of_their_content(tmp_path):
    write_documents(tmp_path, "train", planted(3))
    path = write_label_set(tmp_path / "labels" / "spans", planted(3))
    source = LabelledSource(documents=str(tmp_path / "train-*.parquet"), label_set=path)
    named = dict(input_files([coarse(tmp_path), source]))
    assert named[str(path)] == "00ff"
    assert {len(value) for key, value in named.items() if key != str(path)} == {64}
    assert len(named) == 3


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"sidecar .*labels-train.parquet does not exist"):
        list(chunks([coarse(tmp_path)]))
    with pytest.raises(FileNotFoundError, match=r"no file matches .*nowhere.parquet"):
        list(chunks([LabelledSource(documents=str(tmp_path / "nowhere.parquet"), spans="medical/")]))
    write_documents(tmp_path, "train", planted(3, seed=1))  # other ids
    pq.write_table(pa.table({"id": ["0-0"], "domain": ["x"]}), tmp_path / "labels-train.parquet")
    with pytest.raises(SetError, match=r"labels-train.parquet has no label for document 1-0"):
        list(chunks([coarse(tmp_path)]))
    with pytest.raises(SetError, match=r"has no column body; its columns: id, text"):
        list(chunks([coarse(tmp_path, text="body")]))
    pq.write_table(pa.table({"id": ["0-0"]}), tmp_path / "labels-train.parquet")
    with pytest.raises(SetError, match="has no column domain"):
        list(chunks([coarse(tmp_path)]))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "exactly one of sidecar, label_set and spans, not none"),
        ({"spans": "m/", "label_set": "x"}, "not label_set and spans"),
        ({"sidecar": "x"}, "sidecar and positive_domain go together"),
        ({"spans": "m/", "unmarked": "maybe"}, "'retain' or 'unknown'"),
    ],
)
def test_a_source_that_names_no_one_kind_of_labels_is_refused(settings, why):
    with pytest.raises(ValidationError, match=why):
        LabelledSource.model_validate({"documents": "x.parquet", **settings})
