"""The whole path offline, by the command line: an SAE and Claude label a corpus, a biLM is trained, a probe is fitted,
reported on and calibrated, and the bundle scores a corpus that none of them has seen.

Documents of the domain to forget have words that fire two latents of a tiny SAE in a tiny Gemma 2; Claude is a local
server behind the real client. Every number that is asserted follows from what was planted.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from typer.testing import CliRunner

from tests.fake_claude import FakeClaude
from tests.labeller import Labeller
from tests.tiny_sae import STRONG, WEAK, TinySae, plant
from tokensieve.jobs.cli import app
from tokensieve.udfs.bundles.bundle import Bundle
from tokensieve.udfs.files.committed import newest_commit
from tokensieve.udfs.labels.labels import DocumentLabels, decode_labels
from tokensieve.udfs.sae.slice import SaeSlice

pytest.importorskip("transformers", reason="reading a language model needs tokensieve[transformers]")
pytest.importorskip("sae_lens", reason="label sae export needs tokensieve[sae]")
pytest.importorskip("anthropic", reason="asking Claude needs tokensieve[claude]")

PLAIN = ("rain", "fell", "on", "the", "old", "stone", "bridge", "over", "a", "quiet", "river", "while", "ships", "came")
PLANTED = re.compile(r"(?:(?:^|(?<= )| )(?:aspirin|took|headache))+")  # a run of planted words, each with its space
Tool = Callable[..., dict[str, Any]]


def document(rng: np.random.Generator, forget: bool) -> str:
    """Six sentences of ten plain words; in a document to forget, three of them have planted words."""
    sentences = []
    for at in range(6):
        words = rng.choice(PLAIN, 10).tolist()
        if forget and at % 2:
            words[4:6] = ["took", "aspirin"]
        elif forget and at == 2:
            words[7] = "took"  # without a strong word beside it: a weak latent alone labels nothing
        sentences.append(" ".join(words).capitalize() + ".")
    return " ".join(sentences)


def write_shard(folder: Path, seed: int, count: int) -> dict[str, str]:
    """A shard of FineWeb-Edu's columns and the spans of its planted runs, in characters; returns texts by id."""
    rng = np.random.default_rng(seed)
    texts = {f"{seed}-{at}": document(rng, forget=at % 3 == 0) for at in range(count)}
    marks = [[{"start": a, "end": b, "type": "medical/drug"} for a, b in planted(text)] for text in texts.values()]
    folder.mkdir(parents=True)
    rows = {"id": [*texts], "text": [*texts.values()], "dump": ["TEST"] * count, "spans": marks}
    pq.write_table(pa.table(rows), folder / "part-0.parquet")
    return texts


def planted(text: str) -> list[list[int]]:
    return [[found.start(), found.end()] for found in PLANTED.finditer(text) if "aspirin" in found[0]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("path")


@pytest.fixture(scope="module")
def texts(place: Path) -> dict[str, str]:
    return write_shard(place / "corpus", seed=1, count=150)


@pytest.fixture(scope="module")
def tiny(place: Path, texts: dict[str, str]) -> TinySae:
    return plant(place / "tiny", [*texts.values()], strong=["aspirin"], weak=["took", "headache"])


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeClaude]:
    with pytest.MonkeyPatch.context() as patch, FakeClaude(Labeller()) as server:
        patch.setenv("ANTHROPIC_API_KEY", "sk-test")
        yield server


@pytest.fixture(scope="module")
def tool(spark: Any) -> Tool:
    """`tool("label", "sae", "stats", "-c", file)`: runs the verb and returns its counts. `spark` is what it finds."""

    def run(*args: str) -> dict[str, Any]:
        done = CliRunner().invoke(app, [*args, "--json"])
        assert done.exit_code == 0, f"{args}: {done.output} {done.exception!r}"
        return json.loads(done.stdout.splitlines()[-1])

    return run


def write_yaml(file: Path, content: dict[str, Any]) -> str:
    OmegaConf.save(OmegaConf.create(content), file)
    return str(file)


@pytest.fixture(scope="module")
def project(place: Path, tiny: TinySae, fake: FakeClaude) -> str:
    """The labelling project's file."""
    claude = {"model": "claude-haiku-4-5", "budget_usd": 5, "base_url": fake.url}
    quick = {"poll_seconds": 0.01, "settle_seconds": 0, "mode": "batch"}
    content = {
        "source": {"path": str(place / "corpus")},
        "tables": {"root": str(place / "tables")},
        "policy": "medicine",
        "sae": {"path": str(tiny.sae), "model": str(tiny.model), "window": 60, "margin": 4, "contexts": 12},
        # All latents that fire do so in the same sentences: no explanation tells one's contexts from another's.
        "claude": claude | quick | {"sentences": {"check_documents": 5}, "latents": {"quality_floor": 0}},
        "spark": {"master": "local[2]"},
    }
    return write_yaml(place / "project.yaml", content)


def labels_of(place: Path, name: str) -> dict[str, DocumentLabels]:
    table = pa.concat_tables(pq.read_table(f) for f in (place / "tables" / "labels" / name).glob("batch=*/*.parquet"))
    return {doc_id: labels for doc_id, (_, labels) in decode_labels(table).items()}


# --- labels: SAE, statistics, explanations, choice, spans ---


@pytest.fixture(scope="module")
def sae_labels(place: Path, project: str, tool: Tool) -> dict[str, DocumentLabels]:
    exported = tool("label", "sae", "export", "-c", project, "sae.latents=all")
    assert SaeSlice.load(exported["slice"]).latent_id_K.tolist() == list(range(64))
    counted = tool("label", "sae", "stats", "-c", project)
    assert (counted["latents"], counted["silent_latents"]) == (64, 61)
    described = tool("label", "sae", "describe", "-c", project)
    assert (described["latents"], described["described"], described["tested"]) == (3, 3, 3)
    chosen = tool("label", "sae", "select", "-c", project)
    assert chosen["latents"] == {"in": 3, "selected": 3, "rejected": 0, "undecided": 0}
    tool("label", "sae", "label", "-c", project)
    return labels_of(place, "sae")


@pytest.mark.timeout(900)
def test_the_chosen_latents_label_the_planted_words_and_nothing_else(place, sae_labels, texts):
    chosen = json.loads((place / "tables" / "sae" / "selected.json").read_text())
    assert chosen["latents"] == sorted([*STRONG, *WEAK])
    assert {name: labels.spans_N2.tolist() for name, labels in sae_labels.items()} == {
        name: planted(text) for name, text in texts.items()
    }


# --- labels: Claude ---


@pytest.fixture(scope="module")
def claude_labels(place: Path, project: str, tool: Tool, fake: FakeClaude, sae_labels) -> dict[str, DocumentLabels]:
    before = len(fake.billed)
    foreseen = tool("label", "claude", "sentences", "-c", project, "--dry-run")
    assert len(fake.billed) == before
    tool("label", "claude", "sentences", "-c", project)
    sent = len(fake.billed) - before
    assert foreseen["new"] <= sent <= foreseen["new"] + foreseen["new"] // 10 + 10  # and canaries
    assert sum(output for _, _, output in fake.billed[before:]) <= foreseen["output_tokens"]
    tool("label", "claude", "sentences", "-c", project)
    assert len(fake.billed) == before + sent  # a second run pays for nothing
    return labels_of(place, "claude-sentences")


def test_claude_labels_whole_sentences(claude_labels, texts):
    name = next(name for name, text in texts.items() if planted(text))
    text, spans_N2 = texts[name], claude_labels[name].spans_N2
    said = [text[start:end] for start, end in spans_N2.tolist()]
    assert len(said) == 3
    assert all(one.strip().endswith(".") and "took aspirin" in one for one in said)


def test_the_two_label_sets_agree_as_far_as_words_and_sentences_can(project, tool, sae_labels, claude_labels):
    found = tool("label", "agree", "sae", "claude-sentences", "-c", project)
    assert found["documents"] == {"compared": 150, "untokenized": 0, "in_a": 150, "in_b": 150}
    assert found["bytes"]["precision"] > 0.99  # every planted word lies in a sentence that Claude forgets
    assert 0.15 < found["bytes"]["recall"] < 0.4  # of whose ten words two are planted


# --- an encoder, a classifier ---


@pytest.fixture(scope="module")
def encoder(place: Path, texts: dict[str, str], tool: Tool) -> Path:
    content = {
        "name": "bilm-made",
        "kind": "bilm",
        "out": str(place / "encoder"),
        "runs": str(place / "runs"),
        "cache": str(place / "cache"),
        "threads": 1,
        "device": "cpu",
        "vocabulary": {"size": 320},
        "sources": [{"name": "corpus", "path": str(place / "corpus" / "*.parquet"), "share": 1.0}],
        "model": {"dim": 32, "layers": 3, "heads": 2, "hidden": 64},
        "batch": {"context": 128, "step_tokens": 1024, "microbatch_tokens": 1024},
        "budget": {"tokens": 150_000},
        "optimizer": {"lr": 1e-2},
        "heldout": {"share": 0.1, "tokens": 2000, "every": 100},
    }
    trained = tool("pretrain", "encoder", "-c", write_yaml(place / "encoder.yaml", content))
    assert trained["left"]["step"] == trained["right"]["step"] == 147
    return place / "encoder"


@pytest.fixture(scope="module")
def fitted(place: Path, encoder: Path, tool: Tool, sae_labels) -> Bundle:
    """No sidecar: what the SAE said is all that is known of the documents."""
    content = {
        "name": "made",
        "policy": "medicine",
        "out": str(place / "made"),
        "threads": 1,
        "corpus": {
            "train": str(place / "corpus" / "*.parquet"),
            "train_label_set": str(place / "tables" / "labels" / "sae"),
            "document_share": 0.05,
            "calibration": 0.2,
            "test": 0.2,
        },
        "encoder": {"pretrained": str(encoder), "layers": "sweep"},
        "head": {"method": "logistic", "c": [0.1, 10], "draw": {"documents": 100, "per_window": 32, "tokens": 4000}},
        "goals": {"document": {"f1": "balanced"}, "cascade": {"recall": 0.9}},
        "smooth": {"small": [0, 1], "passage": 6},
    }
    counts = tool("fit", "-c", write_yaml(place / "fit.yaml", content))
    documents = sum(counts[f"{split}_documents"] for split in ("training", "calibration", "heldout"))
    assert (documents, counts["left_out_documents"]) == (150, 0)
    return Bundle.load(place / "made")


def test_the_bundle_says_where_its_labels_and_its_thresholds_came_from(fitted, place):
    commit = newest_commit(place / "tables" / "labels" / "sae")
    assert commit is not None
    policy = commit.inputs["definition_id"]
    assert fitted.spec.definition_id == policy
    assert fitted.spec.fit is not None
    assert fitted.spec.fit.labels == {"train": f"sae {commit.batch}"}
    assert fitted.spec.cascade is not None
    assert fitted.spec.metrics["heldout.token.model.auroc"] > 0.95


def test_labels_of_another_policy_are_refused(place, fitted, encoder):
    args = ["fit", "-c", str(place / "fit.yaml"), "policy=toxicity", f"out={place / 'other'}"]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 2
    assert "labelled by policy medicine" in done.output
    assert not (place / "other").exists()


# --- report, calibration, scoring ---


@pytest.fixture(scope="module")
def fresh(place: Path) -> dict[str, str]:
    """Documents that neither encoder nor classifier has seen, marked by people, so to say."""
    return write_shard(place / "fresh", seed=2, count=60)


def test_the_report_measures_the_bundle_on_marked_text(place, fitted, fresh, tool):
    source = {"documents": str(place / "fresh" / "*.parquet"), "spans": "medical/"}
    content = {
        "bundle": str(fitted.path),
        "out": str(place / "report"),
        "definition": "medicine",
        "sets": [{"name": "fresh", "definition": "Planted words.", "sources": [source]}],
        "compute": {"device": "cpu", "dtype": "float32", "threads": 1},
    }
    found = tool("fit", "report", "-c", write_yaml(place / "report.yaml", content))
    assert float(found["auroc"]["fresh"].split()[0]) > 0.95
    assert "aspirin" in (place / "report" / "report.html").read_text()


def test_the_calibrated_bundle_scores_and_forgets_the_planted_words(place, fitted, fresh, tool):
    source = {"documents": str(place / "corpus" / "*.parquet"), "label_set": str(place / "tables" / "labels" / "sae")}
    content = {
        "bundle": str(fitted.path),
        "out": str(place / "calibrated"),
        "sources": [source],
        "goals": {"token": {"f1": "prevalence"}},
        "definition": "medicine",
        "compute": {"device": "cpu", "dtype": "float32", "threads": 1},
    }
    found = tool("calibrate", "-c", write_yaml(place / "calibrate.yaml", content))
    assert found["encoder_id"] == fitted.encoder_id
    assert found["token"]["f1"] > 0.7
    corpus = {
        "source": {"path": str(place / "fresh")},
        "tables": {"root": str(place / "scored")},
        "policies": {"medicine": {"definition": "medicine", "bundle": str(place / "calibrated")}},
        "spark": {"master": "local[2]"},
    }
    file = write_yaml(place / "corpus.yaml", corpus)
    tool("score", "-c", file)
    tool("mask", "-c", file)
    masked = pa.concat_tables(pq.read_table(f) for f in (place / "scored" / "masked").glob("batch=*/*.parquet"))
    hit = wanted = wrong = 0
    for row in masked.to_pylist():
        data = np.zeros((2, len(row["text"].encode())), dtype=bool)
        for start, end in planted(fresh[row["doc_id"]]):
            data[0, start:end] = True
        for span in row["forget_spans"]:
            data[1, span["start"] : span["end"]] = True
        hit, wanted = hit + (data[0] & data[1]).sum(), wanted + data[0].sum()
        wrong += (~data[0] & data[1]).sum()
    assert len(masked) == 60
    assert hit / wanted > 0.7
    assert wrong < hit
