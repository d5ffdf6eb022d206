from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from tests.bundles import random_bundle
from tokensieve.jobs.source.inspect_file import Shard, inspect
from tokensieve.udfs.reading.split import task_table
from tokensieve.udfs.reading.text_rows import made_id
from tokensieve.udfs.scores.stored_scores import quantize_logits
from tokensieve.udfs.scoring.score_plan import EMPTY, WINDOWED, ScorePlan
from tokensieve.udfs.scoring.score_rows import score_splits
from tokensieve.udfs.scoring.scorer import Scorer, ScorerSettings
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

TEXTS = [
    "Plain words.",
    "",
    "x",
    "long " * 400,
    "zero\0byte, emoji 👩‍👩‍👧‍👦, e\u0301\u0301\u0301, עברית, <|endoftext|>",
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return random_bundle(tmp_path_factory.mktemp("bundles") / "one", seed=1)


def settings(*bundles, budget: int = 1024) -> ScorerSettings:
    entries = tuple((f"p{at}", str(bundle.path), bundle.bundle_id) for at, bundle in enumerate(bundles))
    return ScorerSettings(bundles=entries, device="cpu", dtype="float32", token_budget=budget, threads=1)


def plan(path: Path, *bundles, id: str | None = "id") -> tuple[ScorePlan, Path]:
    return ScorePlan(schema=pq.read_schema(path), text="text", id=id, scorer=settings(*bundles)), path


def scored(made: tuple[ScorePlan, Path]) -> list[dict]:
    plan, path = made
    shard = inspect(str(path), str(path.parent), "parquet", plan.text)
    assert isinstance(shard, Shard)
    batches = list(partial(score_splits, plan)(task_table([shard.splits]).to_batches()))
    assert all(batch.schema == plan.output_schema() for batch in batches)
    return pa.Table.from_batches(batches).to_pylist()


def test_a_scored_row_carries_its_source_its_hash_and_scores_that_tile_the_text(tmp_path, bundle):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": list("abcde"), "text": TEXTS, "kind": [1, 2, 3, 4, 5]}), path)
    rows = scored(plan(path, bundle))
    assert [(row["doc_id"], row["text"], row["kind"]) for row in rows] == list(zip("abcde", TEXTS, range(1, 6)))
    assert [row["source_row"] for row in rows] == [0, 1, 2, 3, 4]
    for row in rows:
        data = row["text"].encode()
        assert row["text_hash"] == xxhash.xxh3_128_hexdigest(data)
        assert sum(row["p0"]["token_bytes"]) == len(data)
        assert row["p0"]["bundle_id"] == bundle.bundle_id
        assert row["reason"] is None
    assert [row["p0"]["flags"] for row in rows] == [0, EMPTY, 0, WINDOWED, WINDOWED]
    assert rows[1]["p0"] == {
        "bundle_id": bundle.bundle_id, "token_bytes": b"", "token_scores": b"", "doc_score": None, "flags": EMPTY,
        "probe": None,
    }  # fmt: skip


def test_stored_scores_are_those_of_the_encoder_run_on_the_document_alone(tmp_path, bundle):
    import torch

    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["a", "b"], "text": TEXTS[3:]}), path)
    rows = scored(plan(path, bundle))
    for row in rows:
        tokens = ByteTokenizer.load(bundle.tokenizer_path).encode([row["text"]])
        ids = torch.from_numpy(tokens.ids_T.astype(np.int64))
        features = bundle.encoder("cpu")(ids, torch.tensor([0, len(ids)]))
        logits = bundle.heads()(features).numpy()
        steps = np.frombuffer(row["p0"]["token_scores"], np.uint8).astype(int) - quantize_logits(logits[:, 0])
        assert np.abs(steps).max() <= 1, "one grid step where rounding meets float noise"
        assert row["p0"]["doc_score"] == pytest.approx(1 / (1 + np.exp(-logits[:, 1].mean())), abs=1e-5)


def test_policies_that_share_an_encoder_share_its_pass_and_keep_their_own_heads(tmp_path, bundle, monkeypatch):
    other = random_bundle(tmp_path / "two", seed=2)
    third = random_bundle(tmp_path / "three", seed=2, encoder_seed=9)
    assert bundle.encoder_id == other.encoder_id != third.encoder_id
    scorer = Scorer(settings(bundle, other, third))
    alone = {name: Scorer(settings(one))(TEXTS)["p0"] for name, one in (("p0", bundle), ("p1", other), ("p2", third))}
    together = scorer(TEXTS)
    assert len(scorer.passes) == 2
    for name, one in alone.items():
        assert together[name].scores_T.tolist() == one.scores_T.tolist()
    assert together["p0"].scores_T.tolist() != together["p1"].scores_T.tolist()


def test_scores_do_not_depend_on_the_token_budget_or_the_neighbours(bundle):
    whole = Scorer(settings(bundle))(TEXTS)["p0"]
    small = Scorer(settings(bundle, budget=64))(TEXTS)["p0"]
    assert np.abs(whole.scores_T.astype(int) - small.scores_T).max() <= 1
    alone = np.concatenate([Scorer(settings(bundle))([text])["p0"].scores_T for text in TEXTS])
    assert np.abs(whole.scores_T.astype(int) - alone).max() <= 1


def test_null_and_broken_rows_are_quarantined_with_their_place_and_without_their_text(tmp_path, bundle):
    path = tmp_path / "a.parquet"
    broken = pa.array([b"fine", None, b"\xff\xfe", b"fine too"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"id": list("abcd"), "text": broken}), path)
    rows = scored(plan(path, bundle))
    assert [(row["doc_id"], row["reason"]) for row in rows if row["reason"] is None] == [("a", None), ("d", None)]
    faults = [row for row in rows if row["reason"]]
    assert [(row["doc_id"], row["source_row"], row["reason"], row["text"]) for row in faults] == [
        ("b", 1, "null_text", None),
        ("c", 2, "invalid_text", None),
    ]


def test_a_classifier_that_breaks_quarantines_and_never_keeps_as_clean(tmp_path):
    poisoned = random_bundle(tmp_path / "poisoned", head_scale=float("nan"))
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["a", "b"], "text": ["some words", ""]}), path)
    rows = scored(plan(path, poisoned))
    assert [(row["doc_id"], row["reason"]) for row in rows] == [("b", None), ("a", "non_finite_score")]
    assert rows[1]["p0"] is None


def test_ids_are_made_from_file_and_row_where_the_source_has_none(tmp_path, bundle):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [7, None], "text": ["one", "two"]}), path)
    assert [row["doc_id"] for row in scored(plan(path, bundle))] == ["7", made_id("a.parquet", 1)]
    assert [row["doc_id"] for row in scored(plan(path, bundle, id=None))] == [
        made_id("a.parquet", 0),
        made_id("a.parquet", 1),
    ]


def test_a_bundle_that_differs_between_machines_stops_the_task(bundle):
    entries = (("medicine", str(bundle.path), "0" * 16),)
    with pytest.raises(ValueError, match="install the same bundle on every node"):
        Scorer(ScorerSettings(bundles=entries, device="cpu", dtype="float32", token_budget=1024, threads=1))


def test_five_megabytes_on_one_line_are_scored_whole(tmp_path):
    text = "word " * 2**20
    bundle = random_bundle(tmp_path / "words", texts=[text[:100]], window=(256, 16))  # a word is a token
    result = Scorer(settings(bundle, budget=32_768))([text])["p0"]
    assert int(result.tokens.bytes_T.sum()) == len(text)
    assert len(result.scores_T) == len(result.tokens.ids_T) > 2**20
    assert result.windowed_D.tolist() == [True]
