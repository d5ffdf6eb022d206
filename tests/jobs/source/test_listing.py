"""Looking at a source: what is counted, which columns it has, and which files are set aside."""

import json

import pyarrow as pa

from tokensieve.jobs.config.source import SourceConfig
from tokensieve.jobs.source.listing import Listing, list_files


def listed(folder, **files: list[object]) -> Listing:
    for name, lines in files.items():
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        (folder / f"{name}.jsonl").write_text(text)
    return list_files(SourceConfig(path=str(folder), format="jsonl"))


def test_keys_that_the_first_line_lacks_are_columns_too(tmp_path):
    found = listed(tmp_path, a=[{"text": "x"}, {"text": "y", "url": "z"}])
    assert found.schema == pa.schema([("text", pa.string()), ("url", pa.string())])


def test_where_types_exclude_each_other_within_a_file_the_first_wins(tmp_path):
    found = listed(tmp_path, a=[{"text": "x", "n": 1}, {"text": "y", "n": "two"}])
    assert found.schema == pa.schema([("text", pa.string()), ("n", pa.int64())])
    assert (found.documents, found.broken) == (2, ())


def test_lone_surrogates_do_not_hide_a_column(tmp_path):
    found = listed(tmp_path, a=['{"text": "\\ud800", "m": {"k": "\\ud800"}}', {"text": "y", "m": {"k": "v"}}])
    assert found.schema.field("text").type == pa.string()
    assert found.documents == 2


def test_documents_are_lines_that_are_not_blank_and_one_for_each_broken_file(tmp_path):
    (tmp_path / "c.jsonl.gz").write_bytes(b"no gzip")
    found = listed(tmp_path, a=[{"text": "x"}, "", "  ", {"text": "y"}], b=[{"body": "x"}])
    assert [(one.name, one.reason) for one in found.broken] == [
        ("c.jsonl.gz", "unreadable_file"),
        ("b.jsonl", "schema_mismatch"),
    ]
    assert found.documents == 4
    assert sorted(found.files) == ["a.jsonl", "b.jsonl", "c.jsonl.gz"]
