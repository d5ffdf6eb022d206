"""From an SAE to byte spans through the verbs: planted words come out, sums are those of one pass over the text."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.corpora import sentence, write_corpus
from tests.tiny_sae import WEAK as WEAK_LATENTS
from tests.tiny_sae import TinySae, plant, tiny_gemma, tiny_jumprelu
from tokensieve.jobs.config.labelling import LabelConfig
from tokensieve.jobs.config.load import load_section
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.labelling.label_set import commit_labels, label_table
from tokensieve.jobs.labelling.sae import export, label, stats
from tokensieve.jobs.labelling.sae.inputs import stats_table
from tokensieve.jobs.policies.definition import load_definition
from tokensieve.udfs.labels.labels import LABEL_SCHEMA, DocumentLabels, decode_labels, encode_labels
from tokensieve.udfs.reading.text_rows import text_hash
from tokensieve.udfs.sae.contexts import read_contexts
from tokensieve.udfs.sae.latents import Latents, LatentSettings
from tokensieve.udfs.sae.model import ModelSettings
from tokensieve.udfs.sae.slice import SaeSlice
from tokensieve.udfs.sae.statistics import Statistics

pytest.importorskip("transformers")
pytest.importorskip("sae_lens")
Project = Callable[..., LabelConfig]
STRONG, WEAK = ["aspirin"], ["took", "headache"]
# A run of planted words with a strong one in it, each with the space before it.
PLANTED = re.compile(r"(?:(?:^|(?<= )| )(?:aspirin|took|headache))+")


def expected_spans(text: str) -> list[list[int]]:
    return [[found.start(), found.end()] for found in PLANTED.finditer(text) if "aspirin" in found[0]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinySae:
    return plant(tmp_path_factory.mktemp("tiny"), [sentence(at) for at in range(20)], strong=STRONG, weak=WEAK)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard of 24 documents, and one with a document without a text."""
    folder = write_corpus(tmp_path_factory.mktemp("corpus"), files=1, rows=24)
    table = pa.table({"text": ["naïve 🧬 took aspirin", None], "id": ["emoji", "null"], "dump": ["TEST"] * 2})
    pq.write_table(table, folder / "part-00001.parquet")
    return folder


@pytest.fixture
def project(tmp_path: Path, tiny: TinySae, corpus: Path) -> Project:
    def make(*overrides: str) -> LabelConfig:
        file = tmp_path / "project.yaml"
        file.write_text(
            f"source: {{path: {corpus}}}\n"
            f"tables: {{root: {tmp_path / 'tables'}}}\n"
            "policy: medicine\n"
            f"sae: {{path: {tiny.sae}, model: {tiny.model}, latents: {list(tiny.latents)}, window: 40, margin: 4}}\n"
            "spark: {master: 'local[2]'}\n"
        )
        return load_section(LabelConfig, str(file), overrides)

    return make


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables with a slice and its statistics, made by the first test that asks for them."""
    return tmp_path_factory.mktemp("made") / "tables"


@pytest.fixture
def prepared(project: Project, tables: Path, spark: Any) -> Path:
    """`export` and `stats` have run in the project's tables."""
    if not tables.exists():
        config = project(f"tables.root={tables}")
        export.run(config)
        stats.run(config, spark)
    return Path(shutil.copytree(tables, project().tables.folder))


def texts_of(corpus: Path) -> dict[str, str]:
    rows = [row for path in sorted(corpus.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    return {row["id"]: row["text"] for row in rows if row["text"] is not None}


def labels_of(config: LabelConfig, spark: Any, name: str = "sae") -> dict[str, DocumentLabels]:
    rows = label_table(config, name).read(spark).toArrow()
    return {doc_id: labels for doc_id, (_, labels) in decode_labels(rows).items()}


def test_planted_words_become_byte_spans_from_export_to_label(project, corpus, spark):
    config = project()
    export.run(config)
    counted = stats.run(config, spark)
    result = label.run(config, spark)
    assert counted["documents"] == {"in": 26, "noted": 1}
    assert (counted["latents"], counted["silent_latents"]) == (3, 0)
    assert result["documents"] == {"in": 26, "labelled": 25, "unknown": 1}
    # The weak words are a tenth of all tokens: their latent lies above its mean + 4 SD nowhere.
    assert (result["latents"], result["voting_latents"], result["latents_from"]) == (3, 2, "sae.latents")
    labels, texts = labels_of(config, spark), texts_of(corpus)
    spans = {doc_id: labels[doc_id].spans_N2.tolist() for doc_id in texts}
    emoji = spans.pop("emoji")
    assert emoji == [[len("naïve 🧬".encode()), len("naïve 🧬 took aspirin".encode())]]
    assert spans == {doc_id: expected_spans(text) for doc_id, text in texts.items() if doc_id != "emoji"}
    assert sum(map(len, spans.values())) > 10
    assert labels["null"].note is not None
    # Propagation found the weak neighbours: without it only the strong word is labelled.
    alone = project("sae.propagate=false", "sae.output=sae-seeds")
    label.run(alone, spark)
    assert labels_of(alone, spark, "sae-seeds")["emoji"].spans_N2.tolist() == [
        [emoji[0][0] + len(" took"), emoji[0][1]]
    ]


def test_statistics_of_spark_are_those_of_one_pass_and_the_same_bytes_again(project, corpus, spark, tiny):
    config = project("sae.contexts=3", "sae.context_bytes=20")
    exported = export.run(config)
    first = stats.run(config, spark)
    rows = stats_table(config).read(spark).toArrow()
    texts = texts_of(corpus)
    model = ModelSettings(model=str(tiny.model), window=40, margin=4)
    latents = Latents(
        LatentSettings(slice_path=exported["slice"], slice_id=exported["slice_id"], latents=None, model=model)
    )
    found = latents(list(texts.values()))
    whole = Statistics.of(latents.slice.latent_id_K, len(found.tokens.ids_T), found.column_N, found.value_N)
    merged = Statistics.from_arrow(rows)
    assert merged.count == whole.count == first["tokens"]
    assert merged.nonzero_K.tolist() == whole.nonzero_K.tolist()
    assert merged.sum_K == pytest.approx(whole.sum_K, rel=1e-6)
    assert merged.square_sum_K == pytest.approx(whole.square_sum_K, rel=1e-6)
    assert merged.max_K == pytest.approx(whole.max_K, rel=1e-6)
    contexts = read_contexts(config.tables.folder / "sae" / "contexts")
    _check_contexts(contexts, merged, texts)
    before = stats_table(config).newest()
    stats.run(config, spark)
    assert stats_table(config).newest() == before  # done already: nothing ran
    elsewhere = project("sae.contexts=3", "sae.context_bytes=20", f"tables.root={config.tables.root}-2")
    export.run(elsewhere)
    stats.run(elsewhere, spark)
    assert stats_table(elsewhere).read(spark).toArrow().sort_by("latent_id") == rows.sort_by("latent_id")
    assert read_contexts(elsewhere.tables.folder / "sae" / "contexts") == contexts


def _check_contexts(contexts: pa.Table, statistics: Statistics, texts: dict[str, str]) -> None:
    rows = contexts.to_pylist()
    assert [(row["latent_id"], row["rank"]) for row in rows] == [(i, rank) for i in (3, 10, 17) for rank in range(3)]
    for row in rows:
        marked = row["text"].encode()[row["start"] : row["end"]].decode()
        words = {"took", "headache"} if row["latent_id"] == WEAK_LATENTS[0] else {"aspirin"}
        assert set(marked.split()) <= words
        assert marked.strip()
        assert row["text"] in texts[row["doc_id"]]
    best = {row["latent_id"]: row["activation"] for row in rows if row["rank"] == 0}
    assert list(best.values()) == statistics.max_K.tolist()


def test_selected_latents_win_and_must_be_of_this_policy_and_slice(project, corpus, prepared, spark):
    config = project()
    path = config.tables.folder / "sae" / "selected.json"
    chosen = {"policy": "medicine", "definition_id": load_definition("medicine").definition_id, "rejected": {}}
    path.write_text(json.dumps(chosen | {"latents": [10, 3]}))
    result = label.run(config, spark)
    assert (result["latents"], result["latents_from"]) == (2, str(path))
    # Without the latent of the weak words nothing spreads.
    assert labels_of(config, spark)["emoji"].spans_N2.tolist() == [[16, 24]]
    for change, why in (
        ({"latents": [3, 4]}, r"has no latents \[4\]; it keeps 3 of 64"),
        ({"latents": []}, "no latent was selected"),
        ({"latents": [3], "definition_id": "0" * 16}, r"chosen for policy medicine \(0000"),
        ({"latents": [3], "slice_id": "0" * 16}, "chosen from slice 0000"),
    ):
        path.write_text(json.dumps(chosen | change))
        with pytest.raises(InputError, match=why):
            label.run(config, spark)
    path.write_text("[]")
    with pytest.raises(InputError, match="not a choice of latents"):
        label.run(config, spark)
    path.unlink()
    with pytest.raises(InputError, match="no latents are chosen"):
        label.run(project("sae.latents=null"), spark)
    with pytest.raises(InputError, match=r"the latents' votes come to 1 .* a seed needs 2"):
        label.run(project("sae.latents=[3]"), spark)
    assert label.run(project("sae.latents=all"), spark)["latents"] == 3


def test_weighted_votes_take_their_weights_from_a_file(project, corpus, prepared, spark, tmp_path):
    scores = tmp_path / "descriptions.parquet"
    weights = [f"sae.votes.weights={scores}", "sae.propagate=false", "sae.output=weighted"]
    pq.write_table(pa.table({"latent_id": pa.array([3, 10, 17], pa.int32()), "score": [0.3, 0.4, 0.9]}), scores)
    config = project(*weights, "sae.votes.needed=0.8", "sae.k=2")
    label.run(config, spark)
    # 0.3 + 0.4 does not reach 0.8, one vote of 0.9 does: now the weak word is the seed.
    assert labels_of(config, spark, "weighted")["emoji"].spans_N2.tolist() == [[11, 16]]
    pq.write_table(pa.table({"latent_id": pa.array([3, 10], pa.int32()), "score": [0.3, None]}), scores)
    with pytest.raises(InputError, match=r"has no weight of at least 0 for latents \[10, 17\]"):
        label.run(config, spark)


def test_cross_check_turns_contradicted_bytes_into_unknown_ones(project, corpus, prepared, spark):
    config = project("sae.cross_check=claude-sentences")
    with pytest.raises(InputError, match="no label set 'claude-sentences'"):
        label.run(config, spark)
    texts = texts_of(corpus)
    sentences = {"emoji": DocumentLabels(), "doc-008": DocumentLabels(spans_N2=np.array([[0, len(texts["doc-008"])]]))}
    rows = encode_labels(
        pa.array(list(sentences)), pa.array([text_hash(texts[name]) for name in sentences]), list(sentences.values())
    )
    frame = spark.createDataFrame(pa.Table.from_batches([rows], schema=LABEL_SCHEMA))
    commit_labels(config, spark, "claude-sentences", frame, 2, {})
    result = label.run(config, spark)
    labels = labels_of(config, spark)
    assert labels["emoji"].spans_N2.tolist() == []
    assert labels["emoji"].unknown_M2.tolist() == [[11, 24]]
    assert labels["doc-008"].spans_N2.tolist() == expected_spans(texts["doc-008"]) != []
    assert labels["doc-007"].spans_N2.tolist() == expected_spans(texts["doc-007"]) != []
    assert result["not_cross_checked"] == 24
    assert result["reasons"]["contradicted"] == 1


def test_statistics_of_another_slice_or_model_are_refused(project, prepared, spark, tmp_path):
    config = project()
    smaller = project("sae.latents=[3,10]", f"sae.slice={tmp_path / 'smaller.safetensors'}")
    with pytest.raises(InputError, match=r"smaller\.safetensors: no such SAE slice"):
        stats.run(smaller, spark)
    kept = SaeSlice.load(export.run(smaller)["slice"])
    with pytest.raises(InputError, match=f"statistics of slice .*, but the slice is {kept.slice_id}"):
        label.run(smaller, spark)
    other = tiny_gemma(tmp_path / "other", [sentence(at) for at in range(20)])
    with pytest.raises(InputError, match=r"statistics of the model .* run `tokensieve label sae stats` again"):
        label.run(project(f"sae.model={other}"), spark)
    shutil.rmtree(prepared / "sae" / "stats")
    with pytest.raises(InputError, match="no statistics, so no thresholds; run `tokensieve label sae stats`"):
        label.run(config, spark)


def test_model_that_does_not_fit_is_refused_before_any_task(project, spark, tmp_path, monkeypatch):
    config = project()
    wide = project(f"sae.path={tiny_jumprelu(tmp_path / 'wide', layer=1, width=40)}")
    export.run(wide)
    with pytest.raises(InputError, match=r"sae\.model: .* has 32 values a token at hook `res`, .* reads 40"):
        stats.run(wide, spark)
    with pytest.raises(InputError, match=r"is no folder here; for a model on the hub set sae\.revision"):
        stats.run(project("sae.model=google/gemma-2-9b"), spark)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        InputError, match=r"transformers is not installed here; pip install 'tokensieve\[transformers\]'"
    ):
        stats.run(config, spark)
    assert stats_table(config).commit() is None


def test_source_without_a_readable_document_gives_no_statistics(project, spark, tmp_path):
    (tmp_path / "source").mkdir()
    table = pa.table({"text": pa.array([None, ""], pa.string()), "id": ["a", "b"]})
    pq.write_table(table, tmp_path / "source" / "part-0.parquet")
    config = project(f"source.path={tmp_path / 'source'}")
    export.run(config)
    with pytest.raises(InputError, match=r"none of its 2 documents gave a token \(1 could not be read\)"):
        stats.run(config, spark)
