"""Splits by content: no text in two of them, whatever the order, the copies and the clusters."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.planted import coarse, planted, write_documents, write_label_set
from tokensieve.pretrain.labelled.corpus import Corpus, CorpusConfig, half_share, read_corpus, touches, unit_share
from tokensieve.pretrain.labelled.labels import Documents
from tokensieve.udfs.labels.labels import DocumentLabels, LabelError


def _documents(texts: list[str], clusters: list[str] | None = None) -> Documents:
    count = len(texts)
    return Documents(
        ids=[str(at) for at in range(count)],
        texts=texts,
        domains=["medicine"] * count,
        sources=["made up"] * count,
        licenses=["CC0 1.0"] * count,
        positive_D=np.ones(count, dtype=bool),
        borderline_D=np.zeros(count, dtype=bool),
        clusters=clusters,
    )


def _settings(folder: Path, **changes: object) -> CorpusConfig:
    given_ = {
        "train": str(folder / "train-*.parquet"),
        "train_labels": folder / "labels-train.parquet",
        "licenses": ["CC0 1.0"],
        "positive_domain": "medicine",
        "calibration": 0.3,
        "test": 0.3,
    }
    return CorpusConfig.model_validate({**given_, **changes})


def _texts(corpus: Corpus) -> list[set[str]]:
    return [set(part.texts) for part in (corpus.training, corpus.calibration, corpus.heldout)]


def test_copies_of_a_text_and_members_of_a_cluster_share_one_number():
    share_D = unit_share(_documents(["a", "b", "c", "a", "d"], ["x", "x", "", "", "y"]))
    assert share_D[0] == share_D[1] == share_D[3]
    assert len(set(share_D.tolist())) == 3


def test_a_copied_text_ties_two_clusters_together():
    share_D = unit_share(_documents(["a", "b", "a", "c"], ["x", "x", "y", "y"]))
    assert len(set(share_D.tolist())) == 1


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["", "x", "y", "z"])), min_size=1, max_size=30
    ),
    random=st.randoms(use_true_random=False),
)
def test_the_order_of_documents_moves_none_of_them(rows, random):
    mixed = random.sample(rows, len(rows))
    first = unit_share(_documents([t for t, _ in rows], [c for _, c in rows])).tolist()
    then = unit_share(_documents([t for t, _ in mixed], [c for _, c in mixed])).tolist()
    assert dict(zip(rows, first, strict=True)) == dict(zip(mixed, then, strict=True))


def test_halving_is_independent_of_the_split():
    documents = _documents([str(at) for at in range(4000)])
    low_D = unit_share(documents) < 0.2
    assert 0.4 < (half_share(documents)[low_D] < 0.5).mean() < 0.6


def test_a_document_touches_others_by_text_or_cluster():
    ours = _documents(["a", "b", "c"], ["", "x", ""])
    assert touches(ours, _documents(["c", "d"], ["", "x"])).tolist() == [False, True, True]


def test_no_text_is_in_two_splits_when_the_source_holds_texts_twice(tmp_path):
    documents = coarse(planted(60))
    columns = ("ids", "texts", "domains", "sources", "licenses")
    both = Documents(
        **{name: getattr(documents, name) * 2 for name in columns},
        positive_D=np.tile(documents.positive_D, 2),
        borderline_D=np.tile(documents.borderline_D, 2),
    )
    both = replace(both, ids=[str(at) for at in range(120)])
    write_documents(tmp_path, "train", both)
    splits = _texts(read_corpus(_settings(tmp_path)))
    assert all(len(part) > 5 for part in splits)
    assert len(set.union(*splits)) == sum(map(len, splits)) == 60


def test_reordered_shards_give_the_same_splits(tmp_path):
    documents = coarse(planted(60))
    write_documents(tmp_path, "train", documents)
    before = read_corpus(_settings(tmp_path))
    backwards = replace(
        documents,
        **{name: getattr(documents, name)[::-1] for name in ("ids", "texts", "domains", "sources", "licenses")},
        positive_D=documents.positive_D[::-1],
        borderline_D=documents.borderline_D[::-1],
    )
    write_documents(tmp_path, "train", backwards)
    after = read_corpus(_settings(tmp_path))
    assert _texts(after) == _texts(before)
    assert after.split_hashes() == before.split_hashes()


def test_near_duplicates_of_one_cluster_are_in_one_split(tmp_path):
    documents = replace(coarse(planted(80)), clusters=[f"cluster-{at // 4}" for at in range(80)])
    write_documents(tmp_path, "train", documents)
    corpus = read_corpus(_settings(tmp_path))
    clusters = [set(part.clusters or ()) for part in (corpus.training, corpus.calibration, corpus.heldout)]
    assert len(set.union(*clusters)) == sum(map(len, clusters)) == 20


def test_held_out_documents_win_over_training_documents(tmp_path):
    documents, heldout = coarse(planted(40, seed=1)), coarse(planted(9, seed=2))
    shared = replace(documents, texts=[*documents.texts[:-2], *heldout.texts[:2]])
    write_documents(tmp_path, "train", shared)
    write_documents(tmp_path, "heldout", heldout)
    corpus = read_corpus(
        _settings(
            tmp_path,
            test=0,
            heldout=str(tmp_path / "heldout-*.parquet"),
            heldout_labels=tmp_path / "labels-heldout.parquet",
        )
    )
    assert corpus.left_out["also_in_heldout"] == 2
    assert len(corpus.heldout) == 9
    assert not set(corpus.heldout.texts) & set(corpus.training.texts + corpus.calibration.texts)


def test_halves_share_no_document_and_have_the_same_calibration(tmp_path):
    write_documents(tmp_path, "train", coarse(planted(80)))
    whole = read_corpus(_settings(tmp_path))
    first, second = (read_corpus(_settings(tmp_path, half=half)) for half in ("first", "second"))
    assert set(first.training.texts) | set(second.training.texts) == set(whole.training.texts)
    assert not set(first.training.texts) & set(second.training.texts)
    assert first.calibration.texts == second.calibration.texts
    assert first.left_out["other_half"] == len(second.training)


def test_other_licences_borderline_and_unlabelled_documents_are_counted(tmp_path):
    documents = planted(60)
    borderline_D = np.arange(60) == 3
    licenses = ["CC BY-SA 3.0" if at in (0, 3, 6) else "CC0 1.0" for at in range(60)]
    known = replace(documents, borderline_D=borderline_D, licenses=licenses)
    write_documents(tmp_path, "train", known)
    labels = write_label_set(tmp_path / "labels" / "spans", documents.where(np.arange(60) != 1))
    corpus = read_corpus(_settings(tmp_path, train_label_set=labels), "ab12")
    assert corpus.left_out == {"other_licence": 3, "borderline": 0, "train_not_in_label_set": 1, "train_unknown": 0}
    assert corpus.label_sets == {"train": "spans 00ff"}
    assert corpus.training.labels is not None
    assert corpus.heldout.labels is not None


def test_a_label_set_of_another_policy_stops_the_recipe(tmp_path):
    documents = planted(30)
    write_documents(tmp_path, "train", documents)
    labels = write_label_set(tmp_path / "labels" / "spans", documents, definition_id="ab12")
    with pytest.raises(LabelError, match="policy"):
        read_corpus(_settings(tmp_path, train_label_set=labels), "cd34")


ONLY_A_LABEL_SET = {"train_labels": None, "licenses": None, "positive_domain": None}


def test_without_a_sidecar_the_label_set_says_what_a_document_is(tmp_path):
    documents = planted(60)
    write_documents(tmp_path, "train", documents)
    labels = write_label_set(tmp_path / "labels" / "spans", documents)
    corpus = read_corpus(_settings(tmp_path, train_label_set=labels, **ONLY_A_LABEL_SET))
    positive = {
        text for part in (corpus.training, corpus.heldout) for text in np.array(part.texts)[part.positive_D].tolist()
    }
    known = np.array(documents.texts)[documents.positive_D].tolist()
    assert positive == set(known) - set(corpus.calibration.texts)
    assert set(corpus.training.licenses) == {"unknown"}
    assert set(corpus.training.sources) == {tmp_path.name}


def test_a_document_of_which_only_tokens_are_labelled_counts_by_its_share_of_known_bytes(tmp_path):
    """4 of 10 bytes are forbidden; 4 more are unknown, so the share among the known ones is two thirds."""
    one = DocumentLabels(spans_N2=np.array([[0, 4]]), unknown_M2=np.array([[6, 10]]))
    few = DocumentLabels(spans_N2=np.array([[0, 4]]))
    count = 24
    documents = replace(_documents([f"{at:010d}" for at in range(count)]), labels=[one, few] * (count // 2))
    write_documents(tmp_path, "train", documents)
    labels = write_label_set(tmp_path / "labels" / "sae", documents)
    with pytest.raises(
        ValueError, match=r"24 documents which tokens, .* set corpus\.document_share, or give a sidecar"
    ):
        read_corpus(_settings(tmp_path, train_label_set=labels, **ONLY_A_LABEL_SET))
    corpus = read_corpus(_settings(tmp_path, train_label_set=labels, document_share=0.6, **ONLY_A_LABEL_SET))
    for part in (corpus.training, corpus.calibration, corpus.heldout):
        assert part.positive_D.tolist() == [int(text) % 2 == 0 for text in part.texts]


def test_an_empty_split_is_named_with_what_was_left_out(tmp_path):
    documents = replace(planted(12), labels=[DocumentLabels(note="refused")] * 12)
    write_documents(tmp_path, "train", documents)
    labels = write_label_set(tmp_path / "labels" / "claude", documents)
    with pytest.raises(ValueError, match=r"no training document is left \(.*train_unknown 12\)"):
        read_corpus(_settings(tmp_path, train_label_set=labels))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"test": 0}, "exactly one"),
        ({"heldout": "x-*.parquet", "heldout_labels": "y.parquet"}, "exactly one"),
        ({"heldout": "x-*.parquet", "test": 0}, "held-out documents need labels"),
        ({"calibration": 0.6, "test": 0.5}, "leave documents"),
        ({"train_labels": None}, "training documents need labels"),
        ({"train_labels": None, "train_label_set": "x"}, "licenses is about the sidecar's column"),
    ],
)
def test_splits_that_make_no_sense_are_refused(tmp_path, changes, why):
    with pytest.raises(ValidationError, match=why):
        _settings(tmp_path, **changes)
