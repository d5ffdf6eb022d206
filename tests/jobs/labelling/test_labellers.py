"""The labellers that need no model, on Spark: a lexicon learned from coarse labels, spans of people, and agreement."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokensieve.jobs.errors import ConfigError, InputError, QuarantineError
from tokensieve.jobs.labelling import agree, coarse, human_spans, lexicon
from tokensieve.jobs.labelling.label_set import label_table, read_labels
from tokensieve.udfs.labels.lexicon import learn
from tokensieve.udfs.labels.lexicon_file import read_lexicon
from tokensieve.udfs.reading.text_rows import text_hash

MEDICAL = ["the patient took a dose of aspirin", "a dose of aspirin for the patient", "aspirin helped the patient"]
OTHER = ["rain fell on the old bridge", "the river was quiet and the bridge old", "rain on the river"]
TEXTS = {f"m{n}": text for n, text in enumerate(MEDICAL)} | {f"o{n}": text for n, text in enumerate(OTHER)}


@pytest.fixture
def clinic(tmp_path, project):
    """Six short documents in two files, of two kinds; the column `kind` says which."""
    (tmp_path / "source").mkdir()
    for n, part in enumerate((MEDICAL, OTHER)):
        ids = [f"{'mo'[n]}{at}" for at in range(3)]
        table = pa.table({"text": part, "id": ids, "kind": ["medicine" if n == 0 else "rivers"] * 3})
        pq.write_table(table, tmp_path / "source" / f"{n}.parquet")

    def make(*overrides: str, **sections):
        base = {"coarse": {"column": "kind", "positive": ["medicine"]}} | sections
        return project(*(f"{name}={json.dumps(keys)}" for name, keys in base.items()), *overrides)

    return make


def spans_of(config, spark, name: str) -> dict[str, list[str]]:
    """The marked words of every document that is not unknown."""
    rows = read_labels(config, spark, name).where("note is null").collect()
    return {
        r["doc_id"]: [TEXTS[r["doc_id"]].encode()[s["start"] : s["end"]].decode() for s in r["spans"]] for r in rows
    }


# --- lexicon ---


def test_a_lexicon_is_learned_on_spark_stored_and_laid_on_the_source(clinic, spark):
    config = clinic(lexicon={"threshold": 1.0, "min_count": 2})
    coarse.run(config, spark)
    result = lexicon.run(config, spark)
    stored = read_lexicon(result["lexicon"])
    positive_D = np.array([True] * 3 + [False] * 3)
    expected = {word.decode(): odds for word, odds in learn([*MEDICAL, *OTHER], positive_D).log_odds.items()}
    assert set(stored.log_odds) == {
        "the",
        "patient",
        "a",
        "dose",
        "of",
        "aspirin",
        "rain",
        "on",
        "old",
        "bridge",
        "river",
    }
    assert stored.log_odds == pytest.approx({word: expected[word] for word in stored.log_odds}, abs=5e-5)
    assert (stored.policy, stored.label_set, stored.forget_documents) == ("medicine", "coarse", 3)
    assert spans_of(config, spark, "lexicon")["m0"] == ["patient", "a dose of aspirin"]
    assert spans_of(config, spark, "lexicon")["o0"] == []
    assert result["documents"] == {"in": 6, "labelled": 6, "unknown": 0}
    commit = label_table(config, "lexicon").commit()
    assert commit is not None
    assert commit.inputs["lexicon_id"] == stored.lexicon_id


def test_a_target_share_gives_the_lowest_threshold_that_keeps_to_it(clinic, spark):
    config = clinic(lexicon={"target_share": 0.3, "min_count": 1})
    coarse.run(config, spark)
    result = lexicon.run(config, spark)

    def share(config) -> float:
        marked = sum(len(word) for words in spans_of(config, spark, "lexicon").values() for word in words)
        return marked / sum(map(len, TEXTS.values()))

    chosen = result["threshold"]
    assert 0 < share(config) <= 0.3
    below = clinic(lexicon={"threshold": round(chosen - 0.1, 1), "file": result["lexicon"], "name": "lexicon"})
    lexicon.run(below, spark)
    assert share(below) > 0.3
    impossible = clinic(lexicon={"target_share": 1e-9, "file": result["lexicon"]})
    assert lexicon.run(impossible, spark)["with_forget_spans"] == 0


def test_a_lexicon_needs_both_kinds_of_documents_and_its_own_policy(clinic, spark, tmp_path):
    config = clinic(coarse={"column": "kind", "positive": ["astronomy"]}, lexicon={"threshold": 1.0})
    coarse.run(config, spark)
    with pytest.raises(InputError, match="both kinds, but coarse labels 0 as forget and 6 as retain"):
        lexicon.run(config, spark)
    coarse.run(clinic(), spark)
    with pytest.raises(InputError, match=r"lexicon.min_count: no word stands 99 times"):
        lexicon.run(clinic(lexicon={"threshold": 1.0, "min_count": 99}), spark)
    made = read_lexicon(lexicon.run(clinic(lexicon={"threshold": 1.0}), spark)["lexicon"])
    other = tmp_path / "other.json"
    other.write_bytes(made.model_copy(update={"policy": "toxicity", "definition_id": "0" * 16}).content())
    with pytest.raises(InputError, match=r"other.json is for policy toxicity \(0{16}\), but this project's"):
        lexicon.run(clinic(lexicon={"threshold": 1.0, "file": str(other)}), spark)


@pytest.mark.parametrize("keys", [{}, {"threshold": 1, "target_share": 0.1}])
def test_a_lexicon_takes_one_kind_of_threshold(clinic, keys):
    with pytest.raises(ConfigError, match="give either `threshold` or `target_share`"):
        clinic(lexicon=keys)


def test_a_verb_without_its_section_names_its_keys(project, spark):
    for verb, name in ((coarse, "coarse"), (lexicon, "lexicon"), (human_spans, "spans")):
        with pytest.raises(ConfigError, match=f"this verb needs a section `{name}`; its keys: name, "):
            verb.run(project(), spark)


# --- spans of people ---


def mark(start: int, end: int, type: str = "medical/drug") -> dict:
    return {"start": start, "end": end, "type": type}


MARKS = [
    {"id": "m0", "text": MEDICAL[0], "spans": [mark(4, 11, "biology/person"), mark(19, 34), mark(27, 34)]},
    {"id": "m1", "text_hash": text_hash(MEDICAL[1]), "spans": [mark(0, 6)], "notice": "kept apart"},
    {"id": "o0", "spans": []},
]


def write_marks(path, rows) -> str:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return str(path)


@pytest.mark.parametrize("name", ["marks.parquet", "marks.jsonl"])
def test_marked_documents_are_labelled_and_the_others_stay_unknown(clinic, spark, tmp_path, name):
    file = write_marks(tmp_path / name, MARKS)
    config = clinic(spans={"file": file, "unit": "characters", "prefix": "medical/"})
    result = human_spans.run(config, spark)
    assert spans_of(config, spark, "spans") == {"m0": ["dose of aspirin"], "m1": ["a dose"], "o0": []}
    assert result["documents"] == {"in": 6, "labelled": 3, "unknown": 3}
    assert (result["reasons"], result["marked"]) == ({"unmarked": 3}, 3)
    assert result["misfits"] == {"other_text": 0, "bad_span": 0, "not_in_source": 0}


def test_marks_that_do_not_fit_leave_their_document_unknown_and_too_many_fail_the_verb(clinic, spark, tmp_path):
    bad = [
        {"id": "m2", "spans": [mark(0, 7), mark(20, 99)]},
        {"id": "o1", "text": "another text", "spans": [mark(0, 7)]},
        {"id": "nowhere", "spans": [mark(0, 7)]},
    ]
    keys = {"file": write_marks(tmp_path / "marks.jsonl", MARKS + bad), "unit": "characters"}
    with pytest.raises(QuarantineError, match=r"3 of 6 could not .* \({'other_text': 1, 'bad_span': 1, 'not_in_"):
        human_spans.run(clinic(spans=keys), spark)
    result = human_spans.run(clinic(spans=keys | {"misfit_tolerance": 0.5}), spark)
    assert result["reasons"] == {"bad_span": 1, "other_text": 1, "unmarked": 1}
    found = {row["doc_id"]: row for row in read_labels(clinic(), spark, "spans").collect()}
    assert found["m2"]["spans"] == []
    assert found["m2"]["note"].startswith(
        "bad_span: marks.jsonl: span [20, 99] is empty, cuts a character or lies outside"
    )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"id": "a", "spans": []}, {"id": "a", "spans": []}], "marks.jsonl rows 0 and 1 are both of a"),
        ([{"id": "a"}], "marks.jsonl row 0: spans: Field required"),
        ([{"id": "a", "spans": [{"start": 0}]}], r"row 0: spans.0.end: Field required"),
        ([{"id": "a", "spans": [{"start": "x", "end": 1}]}], r"row 0: spans.0.start: Input should be a valid integer"),
        ([], "marks.jsonl has no rows"),
    ],
)
def test_a_file_of_marks_that_is_not_one_is_refused_by_row(clinic, spark, tmp_path, rows, expected):
    file = write_marks(tmp_path / "marks.jsonl", rows)
    with pytest.raises(InputError, match=expected):
        human_spans.run(clinic(spans={"file": file, "unit": "bytes"}), spark)


def test_a_file_of_marks_that_cannot_be_read_and_a_missing_unit_are_refused(clinic, spark, tmp_path):
    with pytest.raises(InputError, match=r"marks.parquet cannot be read as Parquet \(by its name\) or JSONL"):
        human_spans.run(clinic(spans={"file": str(tmp_path / "marks.parquet"), "unit": "bytes"}), spark)
    with pytest.raises(ConfigError, match=r"spans\.unit: Field required"):
        clinic(spans={"file": "marks.parquet"})


# --- agreement ---


@pytest.fixture
def marked_twice(clinic, spark, tmp_path):
    """Two label sets of the six documents: 6 bytes of "aspirin " by both, more by either."""
    a = [{"id": f"m{n}", "spans": [mark(0, 10)]} for n in range(3)] + [{"id": "o0", "spans": []}]
    b = [{"id": f"m{n}", "spans": [mark(4, 12)]} for n in range(2)] + [{"id": f"o{n}", "spans": []} for n in range(2)]
    config = clinic()
    for name, rows in (("a", a), ("b", b)):
        file = write_marks(tmp_path / f"{name}.jsonl", rows)
        config = clinic(spans={"file": file, "unit": "bytes", "name": name})
        human_spans.run(config, spark)
    return config


def test_agreement_counts_what_both_know_by_group_and_names_the_worst(marked_twice, spark, tokenizer):
    result = agree.run(marked_twice, spark, "a", "b", str(tokenizer), "kind")
    # Known to both: m0, m1 (6 bytes by both, 4 by a, 2 by b each) and o0; unknown: m2, o1, o2.
    sizes = {name: len(text) for name, text in TEXTS.items()}
    neither = sizes["m0"] - 12 + sizes["m1"] - 12
    unknown = sizes["m2"] + sizes["o1"] + sizes["o2"]
    counts = {"both": 12, "only_a": 8, "only_b": 4, "neither": neither + sizes["o0"], "unknown": unknown}
    assert {key: result["bytes"][key] for key in counts} == counts
    assert (result["bytes"]["precision"], result["bytes"]["recall"]) == (0.6, 0.75)
    n = 24 + neither + sizes["o0"]
    chance = (20 * 16 + (n - 20) * (n - 16)) / n**2
    assert result["bytes"]["kappa"] == pytest.approx(((n - 12) / n - chance) / (1 - chance), abs=1e-6)
    medicine, rivers = result["groups"]["medicine"]["bytes"], result["groups"]["rivers"]["bytes"]
    assert (medicine["both"], medicine["neither"], medicine["unknown"]) == (12, neither, sizes["m2"])
    assert (rivers["both"], rivers["f1"], rivers["kappa"], rivers["neither"]) == (0, None, None, sizes["o0"])
    assert result["documents"] == {"compared": 6, "untokenized": 0, "in_a": 6, "in_b": 6}
    assert {one["doc_id"] for one in result["worst"]} == {"m0", "m1"}
    differ = [one["only_a"] + one["only_b"] for one in result["worst"]]
    assert differ == sorted(differ, reverse=True)
    tokens = result["tokens"]
    assert 0 < tokens["both"] <= tokens["both"] + tokens["only_a"] < result["bytes"]["both"] + 8
    assert any(line.startswith("all tokens") for line in result["lines"])


def test_a_set_agrees_with_itself_by_file(marked_twice, spark):
    result = agree.run(marked_twice, spark, "a", "a")
    assert (result["bytes"]["f1"], result["bytes"]["kappa"], result["worst"]) == (1.0, 1.0, [])
    assert sorted(result["groups"]) == ["0.parquet", "1.parquet"]
    assert "tokens" not in result


def test_sets_about_another_text_and_wrong_arguments_are_refused(marked_twice, spark, tmp_path):
    with pytest.raises(InputError, match="no label set 'c'"):
        agree.run(marked_twice, spark, "a", "c")
    with pytest.raises(InputError, match="source: no column 'kindd'; columns: text, id, kind"):
        agree.run(marked_twice, spark, "a", "b", by="kindd")
    with pytest.raises(InputError, match=r"--tokenizer: .*does not exist"):
        agree.run(marked_twice, spark, "a", "b", str(tmp_path / "no.json"))
    table = pa.table({"text": ["changed", OTHER[1], OTHER[2]], "id": ["o0", "o1", "o2"], "kind": ["rivers"] * 3})
    pq.write_table(table, tmp_path / "source" / "1.parquet")
    with pytest.raises(InputError, match=r"a and b: 1 documents, such as o0, were labelled with another text"):
        agree.run(marked_twice, spark, "a", "b")


def test_the_command_prints_one_json_line(marked_twice, tmp_path, repository):
    command = [
        sys.executable,
        "-m",
        "tokensieve.jobs.cli",
        "label",
        "agree",
        "a",
        "b",
        "--config",
        str(tmp_path / "project.yaml"),
    ]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=200, cwd=repository)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["bytes"]["both"] == 12


def test_human_spans_of_the_shared_data_are_labelled_as_they_are_measured(project, spark, tmp_path, shared_data):
    file = shared_data / "spans" / "craft.parquet"
    table = pq.read_table(file, columns=["id", "text", "spans"]).slice(0, 6)
    (tmp_path / "source").mkdir()
    pq.write_table(table.select(["id", "text"]), tmp_path / "source" / "craft.parquet")
    pq.write_table(table, tmp_path / "marks.parquet")
    keys = {"file": str(tmp_path / "marks.parquet"), "unit": "characters", "prefix": "medical/"}
    config = project(f"spans={json.dumps(keys)}")
    assert human_spans.run(config, spark)["documents"] == {"in": 6, "labelled": 6, "unknown": 0}
    found = {row["doc_id"]: row["spans"] for row in read_labels(config, spark, "spans").collect()}
    for row in table.to_pylist():
        wanted = [m for m in row["spans"] if m["type"].startswith("medical/")]
        texts = {row["text"][m["start"] : m["end"]] for m in wanted}
        data = row["text"].encode()
        marked = [data[s["start"] : s["end"]].decode() for s in found[row["id"]]]
        assert len(marked) <= len(wanted)
        assert all(any(text in one for one in marked) for text in texts)
        assert sum(one in texts for one in marked) >= 0.9 * len(marked)
