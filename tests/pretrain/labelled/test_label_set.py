"""Label sets read beside Spark, and joined to documents."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.planted import coarse, planted, write_label_set
from tokensieve.pretrain.labelled.label_set import join, read_label_set
from tokensieve.udfs.labels.labels import DocumentLabels, LabelError, unknown


def test_labels_join_their_documents_by_id(tmp_path):
    documents = planted(6)
    labels = read_label_set(write_label_set(tmp_path / "spans", documents), "ab12")
    joined = join(coarse(documents), labels)
    assert (joined.missing, joined.unknown, len(joined.documents)) == (0, 0, 6)
    assert joined.documents.labels is not None
    assert documents.labels is not None
    assert joined.documents.labels[0].spans_N2.tolist() == documents.labels[0].spans_N2.tolist()
    assert labels.name == "spans"


def test_missing_and_unknown_documents_are_left_out_and_counted(tmp_path):
    documents = planted(6)
    assert documents.labels is not None
    labels = [*documents.labels]
    labels[1] = unknown(documents.texts[1], "refused")
    labels[2] = replace(unknown(documents.texts[2], "tokens unknown"), document=0.0)
    some = replace(documents, labels=labels).where(np.arange(6) != 5)
    joined = join(coarse(documents), read_label_set(write_label_set(tmp_path / "claude", some), None))
    assert (joined.missing, joined.unknown) == (1, 1)
    assert joined.documents.ids == ["0-0", "0-2", "0-3", "0-4"]


def test_a_row_with_a_note_and_no_label_is_not_taken_for_clean(tmp_path):
    documents = replace(planted(1), labels=[DocumentLabels(note="null_text: the text column is null")])
    joined = join(coarse(documents), read_label_set(write_label_set(tmp_path / "sae", documents), None))
    assert (len(joined.documents), joined.unknown) == (0, 1)


def test_a_documents_own_label_is_the_sets_where_it_gives_one(tmp_path):
    documents = planted(3)
    labels = [DocumentLabels(document=0.4), DocumentLabels(document=0.5), DocumentLabels()]
    labelled = read_label_set(write_label_set(tmp_path / "documents", replace(documents, labels=labels)), None)
    assert join(coarse(documents), labelled).documents.positive_D.tolist() == [False, True, False]


def test_labels_about_another_text_are_refused(tmp_path):
    documents = planted(3)
    labels = read_label_set(write_label_set(tmp_path / "spans", documents), "ab12")
    changed = replace(documents, texts=[documents.texts[0], documents.texts[1] + ".", documents.texts[2]], labels=None)
    with pytest.raises(LabelError, match="document 0-1: its labels are about another text"):
        join(changed, labels)


def test_spans_outside_the_text_are_refused(tmp_path):
    documents = replace(planted(1), labels=[DocumentLabels(spans_N2=np.array([[0, 99_999]]))])
    labels = read_label_set(write_label_set(tmp_path / "spans", documents), "ab12")
    with pytest.raises(LabelError, match="outside the text"):
        join(coarse(documents), labels)


def test_labels_of_another_policy_are_refused(tmp_path):
    path = write_label_set(tmp_path / "spans", planted(2), definition_id="ab12")
    with pytest.raises(LabelError, match=r"labelled by policy medicine \(ab12\), but the recipe's policy is ffff"):
        read_label_set(path, "ffff")


def test_a_folder_without_a_committed_batch_is_no_label_set(tmp_path):
    with pytest.raises(LabelError, match="no commit in it"):
        read_label_set(tmp_path, None)
    path = write_label_set(tmp_path / "spans", planted(2))
    (path / "_commits" / "00000000.json").unlink()
    with pytest.raises(LabelError, match="no commit in it"):
        read_label_set(path, None)


def test_a_delta_label_set_reads_like_a_parquet_one(tmp_path):
    deltalake = pytest.importorskip("deltalake")
    documents = planted(4)
    parquet = write_label_set(tmp_path / "spans", documents)
    commit = json.loads((parquet / "_commits" / "00000000.json").read_text())
    rows = pq.read_table(parquet / "batch=00ff" / "part-0.parquet")
    said = deltalake.CommitProperties(custom_metadata={"userMetadata": json.dumps(commit)})
    deltalake.write_deltalake(tmp_path / "delta", rows, commit_properties=said)
    labels = read_label_set(tmp_path / "delta", "ab12")
    assert (labels.batch, sorted(labels.rows)) == ("00ff", documents.ids)
    assert join(coarse(documents), labels).documents.positive_D.tolist() == [True, False, False, True]


def test_a_delta_table_that_no_labeller_wrote_is_refused(tmp_path):
    deltalake = pytest.importorskip("deltalake")
    deltalake.write_deltalake(tmp_path / "delta", pa.table({"doc_id": ["a"]}))
    with pytest.raises(LabelError, match="was not written by a labeller"):
        read_label_set(tmp_path / "delta", None)
