"""Label sets: one row a document whatever the source holds, published whole or not at all, tied to policy and text."""

import json
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.corpora import sentence, write_corpus
from tokensieve.jobs.errors import BalanceError, InputError, QuarantineError
from tokensieve.jobs.labelling import coarse
from tokensieve.jobs.labelling.documents import documents
from tokensieve.jobs.labelling.label_set import label_source, label_table, read_labels
from tokensieve.udfs.labels.labels import DocumentLabels, decode_labels, label_rows
from tokensieve.udfs.reading.text_rows import made_id, text_hash


def mark_patients(texts: list[str]) -> list[DocumentLabels]:
    """The first "patient" of every text; a text without one is labelled "retain"."""
    found = [text.find("patient") for text in texts]
    return [
        DocumentLabels() if at < 0 else DocumentLabels(spans_N2=np.array([[at, at + 7]]), document=1.0) for at in found
    ]


label_patients = partial(label_rows, mark_patients)


def stored(project, spark, name: str) -> dict[str, dict]:
    return {row["doc_id"]: row.asDict(recursive=True) for row in read_labels(project, spark, name).collect()}


def broken_corpus(folder):
    """12 good rows; a broken file; a null and an invalid text; a file that is cut short after its first row group."""
    write_corpus(folder, files=1)
    (folder / "part-00001.parquet").write_bytes(b"garbage, not Parquet at all")
    invalid = pa.StringArray.from_buffers(3, pa.py_buffer(np.array([0, 2, 2, 4], "<i4")), pa.py_buffer(b"ok\xff\xfe"))
    table = pa.table({"text": invalid, "id": ["ok", "empty", "bad"], "dump": ["T"] * 3})
    pq.write_table(table, folder / "part-00002.parquet")
    pq.write_table(
        pa.table({"text": pa.array([None], pa.string()), "id": ["null"], "dump": ["T"]}), folder / "part-00003.parquet"
    )
    corrupt = folder / "part-00004.parquet"
    rows = {"text": [sentence(n) for n in range(4)], "id": [f"c{n}" for n in range(4)], "dump": ["T"] * 4}
    pq.write_table(pa.table(rows), corrupt, row_group_size=2, compression="none", use_dictionary=False)
    data = bytearray(corrupt.read_bytes())
    start = pq.ParquetFile(corrupt).metadata.row_group(1).column(0).data_page_offset
    data[start : start + 40] = b"\xff" * 40
    corrupt.write_bytes(bytes(data))
    return folder


@pytest.mark.parametrize("format", ["parquet", "delta"])
def test_every_row_of_a_broken_source_keeps_its_place_with_its_reason(project, tmp_path, spark, format):
    broken_corpus(tmp_path / "source")
    config = project(f"tables.format={format}")
    result = label_source(config, spark, "patients", label_patients, {"version": 1})
    reasons = {"corrupt_rows": 2, "invalid_text": 1, "null_text": 1, "unreadable_file": 1}
    assert result["documents"] == {"in": 21, "labelled": 16, "unknown": 5}
    assert result["reasons"] == reasons
    found = stored(config, spark, "patients")
    assert len(found) == 21
    assert found["bad"]["note"].startswith("invalid_text: 'utf-8' codec can't decode byte 0xff")
    assert found["null"]["note"] == "null_text: the text column is null"
    assert found[made_id("part-00001.parquet", -1)]["note"].startswith("unreadable_file: part-00001.parquet: ")
    assert found[made_id("part-00004.parquet", 3)]["note"].startswith("corrupt_rows: part-00004.parquet: row group 1")
    unread = [row for row in found.values() if row["note"]]
    assert all((row["text_hash"], row["spans"], row["document"]) == (None, [], None) for row in unread)
    assert found["empty"]["text_hash"] == text_hash("")
    for n in range(12):
        text, row = sentence(n, 5 + 7 * (n % 9)), found[f"doc-{n:03d}"]
        at = text.find("patient")
        assert row["spans"] == ([] if at < 0 else [{"start": at, "end": at + 7, "value": 1.0}])
        assert row["text_hash"] == text_hash(text)
    assert result["with_forget_spans"] == sum(bool(row["spans"]) for row in found.values()) > 5


def test_a_delta_source_is_labelled_without_its_deleted_rows_and_with_made_ids(project, tmp_path, spark):
    from delta.tables import DeltaTable

    rows = [(n, sentence(n)) for n in range(6)]
    frame = spark.createDataFrame([*rows, (6, None)], "number int, text string").coalesce(1)
    frame.write.format("delta").option("delta.enableDeletionVectors", "true").save(str(tmp_path / "source"))
    DeltaTable.forPath(spark, str(tmp_path / "source")).delete("number = 2")
    config = project("source.format=delta", "source.columns.id=number")
    assert label_source(config, spark, "patients", label_patients, {})["documents"] == {
        "in": 6,
        "labelled": 5,
        "unknown": 1,
    }
    assert sorted(stored(config, spark, "patients")) == ["0", "1", "3", "4", "5", "6"]
    nameless = project("source.format=delta", "tables.root=" + str(tmp_path / "nameless"))
    with documents(nameless.source, spark, (("n", "number"),)) as source:
        found = source.frame.collect()
    assert source.count == 6
    assert len({row["doc_id"] for row in found}) == 6
    assert sorted(row["n"] for row in found) == [0, 1, 3, 4, 5, 6]


def test_documents_that_share_an_id_are_refused_and_the_old_label_set_stays(project, tmp_path, spark):
    write_corpus(tmp_path / "source", files=1)
    for format in ("parquet", "delta"):
        config = project(f"tables.format={format}", f"tables.root={tmp_path / format}")
        (tmp_path / "source" / "part-00009.parquet").unlink(missing_ok=True)
        label_source(config, spark, "patients", label_patients, {})
        before = label_table(config, "patients").commit()
        more = pa.table({"text": ["other", "new"], "id": ["doc-003", "new"], "dump": ["T", "T"]})
        pq.write_table(more, tmp_path / "source" / "part-00009.parquet")
        with pytest.raises(BalanceError, match=r"14 rows with 13 different ids \(more than once: doc-003\)"):
            label_source(config, spark, "patients", label_patients, {})
        assert label_table(config, "patients").commit() == before
        assert len(stored(config, spark, "patients")) == 12


def test_a_labeller_that_loses_rows_publishes_nothing(project, tmp_path, spark):
    write_corpus(tmp_path / "source", files=1)
    config = project()
    with pytest.raises(BalanceError, match="12 documents listed, but the labeller gave 0 rows"):
        label_source(config, spark, "lost", lose_everything, {})
    with pytest.raises(InputError, match=r"no label set 'lost'; run the `tokensieve label` verb that makes it"):
        read_labels(config, spark, "lost")


def lose_everything(batches):
    for _ in batches:
        yield from ()


def test_labels_of_another_policy_are_refused_with_both_names(project, tmp_path, spark):
    write_corpus(tmp_path / "source", files=1)
    config = project()
    label_source(config, spark, "patients", label_patients, {})
    other = tmp_path / "other.yaml"
    other.write_text(
        "{name: biology, kind: capability, description: other, include: [cells], actions: {default: {action: mask}},\n"
        "documents: {positive: [Cells divide.], negative: [Rain fell.]}}\n"
    )
    with pytest.raises(
        InputError, match=r"labelled by policy medicine \(\w{16}\), but this project's policy is biology"
    ):
        read_labels(project(f"policy={other}"), spark, "patients")


def test_a_label_set_is_named_by_all_that_it_follows_from(project, tmp_path, spark):
    write_corpus(tmp_path / "source", files=1)
    config = project()

    def batch(settings) -> str:
        label_source(config, spark, "patients", label_patients, settings)
        commit = label_table(config, "patients").commit()
        assert commit is not None
        return commit.batch

    first = batch({"k": 4})
    assert batch({"k": 4}) == first
    assert batch({"k": 5}) != first
    write_corpus(tmp_path / "source", files=2)
    assert batch({"k": 4}) != first


# --- coarse labels ---


def coarse_section(**keys) -> str:
    return "coarse=" + json.dumps(keys)


def test_a_column_of_the_source_labels_all_bytes_of_a_document(project, tmp_path, spark):
    domains = ["medicine", "biology", None, "medicine", *["general"] * 8]
    doubt = [False, False, False, True, *[False] * 6, None, True]
    write_corpus(tmp_path / "source", files=1, more={"domain": domains, "unclear": doubt})
    config = project(coarse_section(column="domain", positive=["medicine"], borderline="unclear", misfit_tolerance=0.1))
    result = coarse.run(config, spark)
    assert result["documents"] == {"in": 12, "labelled": 8, "unknown": 4}
    assert result["reasons"] == {"borderline": 3, "no_label": 1}
    assert result["with_forget_spans"] == 1
    found = stored(config, spark, "coarse")
    size = len(sentence(0, 5))
    assert found["doc-000"]["spans"] == [{"start": 0, "end": size, "value": 1.0}]
    assert (found["doc-000"]["document"], found["doc-000"]["unknown"]) == (1.0, [])
    assert (found["doc-001"]["document"], found["doc-001"]["spans"], found["doc-001"]["unknown"]) == (0.0, [], [])
    for name in ("doc-002", "doc-003", "doc-010", "doc-011"):
        n = int(name[-3:])
        assert (found[name]["document"], found[name]["spans"]) == (None, [])
        assert found[name]["unknown"] == [{"start": 0, "end": len(sentence(n, 5 + 7 * (n % 9)))}]


def test_a_sidecar_labels_by_id_and_what_it_lacks_is_unknown(project, tmp_path, spark):
    write_corpus(tmp_path / "source", files=1)
    side = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"key": [f"doc-{n:03d}" for n in range(10)], "toxic": [n < 2 for n in range(10)]}), side)
    keys = {"sidecar": str(side), "sidecar_id": "key", "column": "toxic", "positive": ["true"]}
    with pytest.raises(QuarantineError, match=r"2 of 12 could .* \({'no_label': 2.*tolerance=0.01"):
        coarse.run(project(coarse_section(**keys)), spark)
    found = stored(project(), spark, "coarse")
    assert [found[f"doc-{n:03d}"]["document"] for n in range(12)] == [1, 1, *[0] * 8, None, None]
    assert found["doc-011"]["note"] == f"no_label: the document has no toxic in {side}"
    assert len(decode_labels(read_labels(project(), spark, "coarse").toArrow())["doc-000"][1].spans_N2) == 1


@pytest.mark.parametrize(
    ("keys", "rows", "expected"),
    [
        ({"column": "dmain"}, None, "source: no column 'dmain'; columns: text, id, dump"),
        ({"sidecar": "nowhere.parquet"}, None, "coarse.sidecar: nowhere.parquet cannot be read as Parquet"),
        ({"sidecar": "side.parquet"}, {"id": ["a"], "x": ["y"]}, "side.parquet has no column 'domain': id, x"),
        ({"sidecar": "side.parquet"}, {"id": ["a", "a"], "domain": ["x", "y"]}, "has 2 rows of document a"),
        ({"column": None, "label_set": "sentences"}, None, "no label set 'sentences'"),
    ],
)
def test_a_column_or_file_that_is_not_there_is_named(project, tmp_path, spark, monkeypatch, keys, rows, expected):
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "source", files=1)
    if rows:
        pq.write_table(pa.table(rows), "side.parquet")
    if "sidecar" in keys:
        keys = {**keys, "sidecar": str(tmp_path / keys["sidecar"])}
        expected = expected.replace("nowhere.parquet", str(tmp_path / "nowhere.parquet"))
    with pytest.raises(InputError, match=expected):
        coarse.run(project(coarse_section(**{"column": "domain", "positive": ["medicine"], **keys})), spark)


FINER = {
    "none": DocumentLabels(),
    "half": DocumentLabels(spans_N2=np.array([[0, 5]])),
    "less": DocumentLabels(spans_N2=np.array([[0, 4], [6, 10]]), value_N=np.array([1, 0.4], np.float32)),
    "perhaps": DocumentLabels(spans_N2=np.array([[0, 3]]), unknown_M2=np.array([[5, 7]]), note="refused: x"),
    "surely": DocumentLabels(spans_N2=np.array([[0, 6]]), unknown_M2=np.array([[6, 10]]), note="refused: x"),
    "hardly": DocumentLabels(unknown_M2=np.array([[6, 10]]), note="refused: x"),
    "flagged": DocumentLabels(note="review: it talks to the labeller"),
}


def by_name(texts: list[str]) -> list[DocumentLabels]:
    return [FINER[text.strip(".")] for text in texts]


def test_finer_labels_are_copied_up_by_the_share_of_their_bytes(project, tmp_path, spark):
    (tmp_path / "source").mkdir()
    file, names = tmp_path / "source" / "part.parquet", list(FINER)

    def write(more=()):
        texts = [name.ljust(10, ".") for name in names]
        pq.write_table(pa.table({"id": [*names, *more], "text": [*texts, *more]}), file)

    write()
    config = project(coarse_section(name="up", label_set="fine", share=0.5, misfit_tolerance=0.5))
    label_source(config, spark, "fine", partial(label_rows, by_name), {})
    write(["new"])
    result = coarse.run(config, spark)
    found = stored(config, spark, "up")
    assert {name: row["document"] for name, row in found.items()} == {
        "none": 0, "half": 1, "less": 0, "perhaps": None, "surely": 1, "hardly": 0, "flagged": 0, "new": None,
    }  # fmt: skip
    assert found["perhaps"]["note"] == "undecided: 2 bytes are unknown in fine"
    assert found["half"]["spans"] == [{"start": 0, "end": 10, "value": 1.0}]
    assert result["reasons"] == {"no_label": 1, "undecided": 1}
    names[0] = "None"
    pq.write_table(pa.table({"id": list(FINER), "text": ["another text"] * len(FINER)}), file)
    with pytest.raises(QuarantineError, match=r"7 of 7 could .* \({'no_label': 0, 'other_text': 7}\)"):
        coarse.run(config, spark)
