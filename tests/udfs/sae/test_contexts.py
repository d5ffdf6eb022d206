"""The best contexts of a latent do not depend on how the corpus was split, and their spans lie on whole characters."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.udfs.sae.test_seeds import activations
from tokensieve.udfs.sae.contexts import CANDIDATE_SCHEMA, ContextSettings, best, find_contexts, read_contexts
from tokensieve.udfs.sae.slice import SaeError

IDS = np.array([7, 8], np.int32)


def find(firings, words: list[list[str]], limit: int = 20, reach: int = 100) -> list[dict]:
    """Contexts in documents given as lists of tokens."""
    sizes = [len(token.encode()) for document in words for token in document]
    bounds = np.concatenate([[0], np.cumsum([len(document) for document in words])]).tolist()
    found = activations(firings, sizes, bounds)
    ids = [f"d{at}" for at in range(len(words))]
    texts = ["".join(document) for document in words]
    return find_contexts(found, IDS, ids, texts, ContextSettings(limit=limit, reach=reach)).to_pylist()


def test_context_is_the_run_around_a_documents_strongest_token():
    words = [["the ", "sick ", "patient ", "slept ", "and ", "patient "]]
    (row,) = find([(1, 0, 2.0), (2, 0, 5.0), (5, 0, 3.0)], words)
    assert row["latent_id"] == 7
    assert row["activation"] == 5.0
    assert row["text"][row["start"] : row["end"]] == "sick patient "
    assert row["at"] == len("the sick ")


def test_text_is_cut_at_the_reach_and_at_whole_characters():
    words = [["αβγ", "δεζ", "η", "θικ", "λμν"]]  # two bytes a character
    (row,) = find([(0, 0, 1.0), (1, 0, 1.0), (2, 0, 9.0)], words, reach=3)
    assert row["text"] == "εζηθι"  # three bytes, widened to whole characters
    assert row["text"].encode()[row["start"] : row["end"]].decode() == "εζη"


def test_token_without_bytes_points_at_its_character():
    found = activations([(2, 0, 9.0)], [1, 4, 0], [0, 3])
    (row,) = find_contexts(found, IDS, ["d"], ["a🧬"], ContextSettings()).to_pylist()
    assert row["text"].encode()[row["start"] : row["end"]].decode() == "🧬"


def test_ties_go_to_the_lower_document_id_and_the_limit_holds():
    words = [["x"], ["y"], ["z"], ["w"]]
    rows = find([(0, 0, 1.0), (1, 0, 5.0), (2, 0, 1.0), (3, 1, 1.0)], words, limit=2)
    assert [(row["latent_id"], row["doc_id"]) for row in rows] == [(7, "d1"), (7, "d0"), (8, "d3")]


def test_one_run_may_end_where_the_next_document_begins():
    rows = find([(0, 0, 1.0), (1, 0, 2.0), (2, 0, 3.0)], [["a", "b"], ["c"]])
    assert [(row["doc_id"], row["text"], row["end"] - row["start"]) for row in rows] == [
        ("d1", "c", 1),
        ("d0", "ab", 2),
    ]


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([0.5, 1.0, 2.0]), st.integers(0, 60)), max_size=60, unique=True
    ),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    limit=st.integers(1, 5),
)
def test_best_of_the_bests_is_the_best_of_all(rows, cuts, limit):
    whole = table([(latent, value, f"d{doc:02d}") for latent, value, doc in rows])
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    merged = CANDIDATE_SCHEMA.empty_table()
    for start, end in zip(edges, edges[1:], strict=False):
        merged = best(pa.concat_tables([merged, best(whole.slice(start, end - start), limit)]), limit)
    assert merged.to_pylist() == best(whole, limit).to_pylist()
    assert max(np.bincount(merged["latent_id"].to_numpy()), default=0) <= limit


def table(rows: list[tuple[int, float, str]]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {"latent_id": latent, "activation": value, "doc_id": doc, "text": "t", "start": 0, "end": 1, "at": 0}
            for latent, value, doc in rows
        ],
        schema=CANDIDATE_SCHEMA,
    )


def test_missing_table_of_contexts_is_a_named_error(tmp_path):
    with pytest.raises(SaeError, match="no table of contexts; run `tokensieve label sae stats`"):
        read_contexts(tmp_path / "contexts")
