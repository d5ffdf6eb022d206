"""The training recipe: its parts by literal values, and the whole on a made-up corpus."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from pydantic import ValidationError

from pretrain.classifier.document_head import fit_document_head
from pretrain.classifier.evaluate import (
    auroc,
    auroc_interval,
    average_precision,
    best_level,
    histograms,
    level_probability,
    operating,
)
from pretrain.classifier.human_spans import Marked, read_marked, token_labels
from pretrain.classifier.labels import content_share, provenance, read_documents
from pretrain.classifier.measure import against, compare
from pretrain.classifier.pools import TargetConfig
from pretrain.classifier.recipe import FitConfig, fit
from pretrain.classifier.splice import Pool, Pools, SpliceConfig, rows
from pretrain.classifier.topics import topic_embedding
from udfs.bundle import Bundle
from udfs.lexicon import Lexicon, learn
from udfs.tokenizer import Tokenized


def _tokens(pieces: list[list[str]]) -> Tokenized:
    """Tokens that are exactly the given pieces of text."""
    flat = [piece for document in pieces for piece in document]
    return Tokenized(
        ids_T=np.arange(len(flat), dtype=np.int32),
        bytes_T=np.array([len(piece.encode()) for piece in flat], dtype=np.int32),
        bounds_D1=np.cumsum([0, *map(len, pieces)]).astype(np.int64),
        failed={},
    )


# --- figures ---


def test_auroc_counts_ties_as_half():
    counts = histograms(np.array([1.0, 0.0, 0.0, -1.0]), np.array([True, True, False, False]), np.array([0, 4]))
    assert auroc(*counts.pooled) == (2 + 1.5) / 4


def test_auroc_agrees_with_counting_all_pairs():
    rng = np.random.default_rng(3)
    logits_T, positive_T = np.round(rng.normal(size=200) * 16) / 16, rng.random(200) < 0.3
    pairs = np.sign(logits_T[positive_T][:, None] - logits_T[~positive_T]) / 2 + 0.5
    counts = histograms(logits_T, positive_T, np.array([0, 90, 200]))
    assert auroc(*counts.pooled) == pytest.approx(pairs.mean(), abs=1e-12)


def test_average_precision_is_the_mean_precision_at_each_positive():
    counts = histograms(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]), np.array([0, 3]))
    assert average_precision(*counts.pooled) == pytest.approx((1 + 2 / 3) / 2)


def test_precision_at_another_prevalence_is_reweighted():
    positive_Q, negative_Q = np.zeros(256), np.zeros(256)
    positive_Q[[100, 200]] = [20, 80]
    negative_Q[[100, 200]] = [90, 10]
    balanced, rare = operating(positive_Q, negative_Q, 150, 0.5), operating(positive_Q, negative_Q, 150, 0.01)
    assert (balanced.recall, rare.recall) == (0.8, 0.8)
    assert balanced.precision == pytest.approx(0.8 / 0.9)
    assert rare.precision == pytest.approx(0.008 / (0.008 + 0.099))
    assert best_level(positive_Q, negative_Q) == 101
    assert level_probability(128) == 0.5


def test_interval_is_over_documents_and_holds_the_value():
    rng = np.random.default_rng(0)
    positive_T = np.arange(400) % 2 == 0
    counts = histograms(rng.normal(size=400) + positive_T, positive_T, np.arange(0, 401, 20))
    low, high = auroc_interval(counts, seed=1, draws=300)
    assert 0.6 < low < auroc(*counts.pooled) < high < 0.9
    assert auroc_interval(counts, seed=1, draws=300) == (low, high)


def test_a_comparison_without_one_of_the_classes_is_refused_by_name():
    counts = histograms(np.array([1.0, 2.0]), np.array([True, True]), np.array([0, 2]))
    with pytest.raises(ValueError, match="heldout: 2 positive and 0 negative tokens"):
        compare("heldout", {"model": counts}, seed=0)


def test_positives_of_one_set_are_put_against_negatives_of_another():
    abstracts = histograms(np.array([2.0, 5.0]), np.array([True, False]), np.array([0, 2]))
    clean = histograms(np.array([-1.0]), np.array([False]), np.array([0, 1]))
    row = compare("pair", {"model": against(abstracts, clean)}, seed=0)
    assert (row.positives, row.negatives, row.auroc["model"][0]) == (1, 1, 1.0)


def test_topic_embedding_puts_tokens_of_the_same_documents_together():
    ids_T = np.array([0, 1, 0, 1, 2, 3, 2, 3, 0, 1, 2, 3, 3, 2])
    pool = Pool(
        ids_T=ids_T, targets_T=np.zeros(14), starts_S=np.array([0]), bounds_D1=np.array([0, 2, 4, 6, 8, 10, 14])
    )
    vectors = topic_embedding([pool], vocabulary=5, dim=2, seed=0)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > 0.8
    assert unit[2] @ unit[3] > 0.8
    assert unit[0] @ unit[2] < 0.2
    assert np.isfinite(vectors).all()


# --- labels, lexicon, targets ---


def test_a_token_is_marked_when_it_overlaps_a_span_by_one_byte():
    marked = Marked(texts=["ab é cd", "x"], spans=[np.array([[3, 5]]), np.zeros((0, 2), dtype=np.int64)])
    tokens = _tokens([["ab", " é", " c", "d"], ["x"]])
    assert token_labels(marked, tokens).tolist() == [False, True, False, False, False]
    assert token_labels(marked, _tokens([["x"]]), first=1).tolist() == [False]


def test_spans_in_characters_become_bytes_and_other_types_are_left(tmp_path):
    spans = [{"start": 2, "end": 3, "type": "medical/disease"}, {"start": 0, "end": 1, "type": "biology/cell"}]
    pq.write_table(pa.table({"text": ["éé日"], "spans": [spans]}), tmp_path / "spans.parquet")
    assert read_marked(tmp_path / "spans.parquet", "medical/").spans[0].tolist() == [[4, 7]]


def test_lexicon_scores_a_token_by_the_word_that_holds_its_last_byte():
    tokens = _tokens([["Blood", "!", " press", "ure", " é"]])
    lexicon = Lexicon(log_odds={b"blood": 2.0, b"pressure": 1.0})
    assert lexicon.score(["Blood! pressure é"], tokens).tolist() == [2, 0, 1, 1, 0]
    smooth = Lexicon(log_odds={b"blood": 2.0, b"pressure": 1.0}, smooth=1)
    assert smooth.score(["Blood! pressure é"], tokens).tolist() == [1.5] * 5


def test_lexicon_learns_log_odds_with_both_classes_weighing_the_same():
    lexicon = learn(["flu flu dose", "sea sea sea sea"], np.array([True, False]), alpha=1.0)
    # Counts + 1 over totals + 3: flu 3/6 against 1/7, sea 1/6 against 5/7.
    assert lexicon.log_odds[b"flu"] == pytest.approx(np.log((3 / 6) / (1 / 7)))
    assert lexicon.log_odds[b"sea"] == pytest.approx(np.log((1 / 6) / (5 / 7)))


def test_targets_mix_the_label_and_the_word():
    config = TargetConfig(floor=0.5, spill=0.2)
    assert config.targets(np.array([0.0, 50.0, -50.0]), positive=True).tolist() == pytest.approx([0.75, 1.0, 0.5])
    assert config.targets(np.array([0.0, 50.0, -50.0]), positive=False).tolist() == pytest.approx([0.0, 0.2, 0.0])


def test_calibration_share_depends_on_content_alone():
    assert content_share(["b", "a"]).tolist() == content_share(["a", "b"]).tolist()[::-1]
    assert 0.4 < content_share([str(i) for i in range(2000)]).mean() < 0.6


# --- spliced rows ---


def _pool(first: int, target: float) -> Pool:
    return Pool(
        ids_T=np.arange(first, first + 100),
        targets_T=np.full(100, target),
        starts_S=np.array([0, 30, 60]),
        bounds_D1=np.array([0, 60, 100]),
    )


@pytest.fixture
def pools() -> Pools:
    return Pools(positive=_pool(0, 1.0), near=_pool(1000, 0.0), far=_pool(2000, 0.0))


def test_spliced_rows_are_full_and_switch_their_label_at_every_seam(pools):
    config = SpliceConfig(rows=4, row_tokens=80, unspliced=0.0, shortest=5, longest=20)
    made = rows(pools, config, seed=1, step=0)
    assert made.bounds_R1.tolist() == [0, 80, 160, 240, 320]
    assert ((made.ids_T < 1000) == (made.targets_T == 1)).all()
    seams_R = [np.abs(np.diff(made.targets_T[a : a + 80])).sum() for a in (0, 80, 160, 240)]
    assert min(seams_R) >= 3


def test_a_piece_never_crosses_a_document(pools):
    rng = np.random.default_rng(0)
    for _ in range(200):
        part = pools.positive.piece(rng, 50, at_sentence=bool(rng.integers(2)))
        assert part.stop > part.start
        assert part.stop <= 60 or part.start >= 60


def test_unspliced_rows_have_one_label(pools):
    made = rows(pools, SpliceConfig(rows=6, row_tokens=40, unspliced=1.0), seed=1, step=0)
    for first, stop in zip(made.bounds_R1[:-1], made.bounds_R1[1:], strict=True):
        assert len(set(made.targets_T[first:stop])) == 1


def test_rows_are_a_function_of_seed_and_step(pools):
    config = SpliceConfig(rows=2, row_tokens=50)
    ids = [rows(pools, config, seed, step).ids_T.tolist() for seed, step in [(1, 7), (1, 7), (1, 8), (2, 7)]]
    assert ids[0] == ids[1]
    assert ids[0] != ids[2]
    assert ids[0] != ids[3]


# --- document head ---


def test_document_head_finds_the_separating_feature_and_the_middle():
    features_DK = np.array([[9.0, 5.0], [11.0, 5.0], [19.0, 5.0], [21.0, 5.0]])
    weight_K, bias = fit_document_head(features_DK, np.array([False, False, True, True]))
    assert weight_K[0] > 0.1
    assert weight_K[1] == pytest.approx(0)
    assert -bias / weight_K[0] == pytest.approx(15)


def test_document_head_needs_both_classes():
    with pytest.raises(ValueError, match="both classes"):
        fit_document_head(np.ones((3, 2)), np.array([True, True, True]))


# --- the whole ---

MEDICAL = "The nurse measured blood pressure. Patients with diabetes received insulin therapy. Fever was treated. "
BIOLOGY = "Zebrafish embryos develop fins. The gene is expressed in wing tissue. Cells divide in the larva. "
OTHER = "The ship sailed at dawn. Merchants sold cloth in the market. A treaty ended the long war. "


def _corpus(folder: Path, split: str, documents: int) -> None:
    kinds = [("medicine", MEDICAL, "CC BY 4.0"), ("biology", BIOLOGY, "CC BY 4.0"), ("humanities", OTHER, "CC0 1.0")]
    records = []
    for number in range(documents):
        domain, text, license_ = kinds[number % 3]
        words = text.split(" ")
        shift = number % len(words)
        body = " ".join((words[shift:] + words[:shift]) * 6) + f" {split} {number}"
        records.append({"id": f"{split}-{number}", "text": body, "domain": domain, "license": license_})
    records.append({"id": f"{split}-sa", "text": "share alike", "domain": "humanities", "license": "CC BY-SA 3.0"})
    same = {"source": "made up", "borderline": False}
    sidecar = [same | {key: record[key] for key in ("id", "domain", "license")} for record in records]
    shard = pa.table({key: [record[key] for record in records] for key in ("id", "text")})
    pq.write_table(shard, folder / f"{split}-00000.parquet")
    pq.write_table(pa.Table.from_pylist(sidecar), folder / f"labels-{split}.parquet")


def _config(folder: Path) -> FitConfig:
    return FitConfig.model_validate(
        {
            "name": "made-up",
            "policy": "medicine",
            "out": folder / "made-up",
            "threads": 1,
            "corpus": {
                "train": str(folder / "train-*.parquet"),
                "train_labels": folder / "labels-train.parquet",
                "heldout": str(folder / "heldout-*.parquet"),
                "heldout_labels": folder / "labels-heldout.parquet",
                "licenses": ["CC BY 4.0", "CC0 1.0"],
                "positive_domain": "medicine",
                "calibration": 0.25,
            },
            "vocabulary": 400,
            "encoder": {"type": "sliding", "dim": 16, "layers": 2, "heads": 2, "hidden": 32, "reach": 8},
            "splice": {"rows": 4, "row_tokens": 64, "longest": 24},
            "train": {"steps": 60, "learning_rate": 1e-2, "report_every": 20},
            "document_head_documents": 20,
            "smooth": {"small": [0, 2], "passage": 6},
        }
    )


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> tuple[Path, dict[str, int], list[str]]:
    folder = tmp_path_factory.mktemp("corpus")
    _corpus(folder, "train", 90)
    _corpus(folder, "heldout", 30)
    lines: list[str] = []
    return folder, fit(_config(folder), lines.append), lines


def test_fit_writes_a_bundle_that_loads_and_tells_the_classes_apart(fitted):
    folder, counts, _ = fitted
    bundle = Bundle.load(folder / "made-up")
    assert counts["heldout_documents"] == 31
    assert counts["left_out_documents"] == 1
    assert counts["training_documents"] + counts["calibration_documents"] == 90
    assert bundle.spec.metrics["heldout.token.model.auroc"] > 0.95
    assert bundle.spec.metrics["heldout.document.model.auroc"] > 0.95


def test_fit_leaves_documents_under_other_licences_out_of_training(fitted):
    folder, counts, _ = fitted
    sources = Bundle.load(folder / "made-up").spec.training_data
    assert {source.license for source in sources} == {"CC BY 4.0", "CC0 1.0"}
    assert sum(source.documents for source in sources) == counts["training_documents"]


def test_fit_reports_loss_and_time_left(fitted):
    steps = [line for line in fitted[2] if line.startswith("step ")]
    assert len(steps) == 3
    assert steps[0].startswith("step 20/60  loss 0.")
    assert "min left" in steps[0]


def test_card_and_bundle_state_the_same_figures(fitted):
    folder = fitted[0] / "made-up"
    card, metrics = (folder / "README.md").read_text(), json.loads((folder / "bundle.json").read_text())["metrics"]
    assert f"{metrics['heldout.token.model.auroc']:.3f} [" in card
    assert "Apache-2.0" in card
    assert "made up | CC0 1.0" in card


def test_fit_again_gives_the_same_bundle(fitted):
    folder = fitted[0]
    first = Bundle.load(folder / "made-up").bundle_id
    fit(_config(folder), lambda line: None)
    assert Bundle.load(folder / "made-up").bundle_id == first


def test_shipped_settings_are_valid_and_are_those_of_the_shipped_bundle(repository):
    settings = OmegaConf.load(repository / "conf" / "classifiers" / "medicine-tiny.yaml")
    config = FitConfig.model_validate(OmegaConf.to_container(settings))
    bundle = Bundle.load(repository / config.out)
    assert (bundle.spec.name, bundle.spec.policy) == (config.name, config.policy)
    assert bundle.spec.encoder == config.encoder | {"vocab_size": config.vocabulary}
    assert {source.license for source in bundle.spec.training_data} <= set(config.corpus.licenses)


def test_unknown_setting_is_an_error(tmp_path):
    with pytest.raises(ValidationError, match="stpes"):
        FitConfig.model_validate(_config(tmp_path).model_dump() | {"stpes": 3})


def test_missing_shards_and_labels_are_named(tmp_path):
    _corpus(tmp_path, "train", 3)
    with pytest.raises(FileNotFoundError, match="no corpus shard"):
        read_documents([], tmp_path / "labels-train.parquet", "medicine")
    _corpus(tmp_path, "heldout", 3)
    with pytest.raises(KeyError, match="no label for 4 documents, the first is heldout-0"):
        read_documents([tmp_path / "heldout-00000.parquet"], tmp_path / "labels-train.parquet", "medicine")


def test_provenance_groups_by_source_and_licence_and_ignores_order(tmp_path):
    _corpus(tmp_path, "train", 9)
    documents = read_documents([tmp_path / "train-00000.parquet"], tmp_path / "labels-train.parquet", "medicine")
    backwards = replace(documents, **{k: getattr(documents, k)[::-1] for k in ("ids", "sources", "licenses")})
    assert [(s.license, s.documents) for s in provenance(documents)] == [
        ("CC BY 4.0", 6), ("CC BY-SA 3.0", 1), ("CC0 1.0", 3),
    ]  # fmt: skip
    assert provenance(backwards) == provenance(documents)
