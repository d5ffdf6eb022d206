"""MEDA and INST: literal ids in front of documents that stay as they are, and a score for every document."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from tests.mixes import Document, mix_config, write_source, written_documents
from tokensieve.pretrain.errors import MixError, ScoreMissingError
from tokensieve.pretrain.mix.annotate import prefix_texts
from tokensieve.pretrain.mix.config import InstConfig, MedaConfig
from tokensieve.pretrain.mix.plan import plan_mix
from tokensieve.pretrain.mix.write import write_mix
from tokensieve.pretrain.shards.blend import Blend
from tokensieve.pretrain.shards.verify import verify_shards
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

MEDA = {"kind": "meda", "policy": "toxicity"}
INST = {"kind": "inst", "policy": "toxicity"}


@pytest.fixture
def root(tmp_path, repository):
    """`clean` and `toxic`, 40 documents of four tokens, of the demo's tokenizer; scores 0, 0.25, 0.5, 0.75, 0 ..."""
    tokenizer = repository / "conf" / "demo" / "tokenizer.json"
    for name in ("clean", "toxic"):
        documents = [
            Document(doc_id=f"{name}-{at}", ids=[50 + at, 60 + at, 70 + at, 0], mask=[1, 0, 1, 1], score=at % 4 / 4)
            for at in range(40)
        ]
        write_source(tmp_path / name, documents, tokenizer=tokenizer, vocab=8192)
    return tmp_path


def mix(root, annotate, **changes):
    config = {"toxic": {"shards": str(root / "toxic"), "share": 0.5, "annotate": annotate, "repeats": "allow"}}
    return mix_config(root, None, sources=config, tolerance=0.05, **changes)


def toxic(folder) -> dict[str, dict]:
    return {row["doc_id"]: row for row in written_documents(folder) if row["doc_id"].startswith("toxic")}


def test_meda_puts_the_score_as_text_in_front_and_changes_no_id_of_the_document(root):
    write_mix(mix(root, MEDA, clean={"shards": str(root / "clean"), "annotate": MEDA}))
    found = toxic(root / "mix")
    tokenizer = ByteTokenizer.load(root / "toxic" / "tokenizer.json")
    literal = tokenizer.encode(["toxicity: 0.25\n"]).ids_T.tolist()
    assert tokenizer.decode(literal) == "toxicity: 0.25\n"
    row = found["toxic-1"]
    assert row["ids"] == [*literal, 51, 61, 71, 0]
    assert row["mask"] == [1] * len(literal) + [1, 0, 1, 1]
    assert row["prefix_tokens"] == len(literal)


def test_inst_tells_documents_above_the_threshold_from_those_below(root):
    write_mix(mix(root, {**INST, "above": "bad: ", "below": "good: ", "loss": False}))
    tokenizer = ByteTokenizer.load(root / "toxic" / "tokenizer.json")
    for doc_id, row in toxic(root / "mix").items():
        at = int(doc_id.removeprefix("toxic-"))
        before = tokenizer.encode(["bad: " if at % 4 >= 2 else "good: "]).ids_T.tolist()
        assert row["ids"] == [*before, 50 + at, 60 + at, 70 + at, 0]
        assert row["mask"] == [0] * len(before) + [1, 0, 1, 1]


def test_the_default_prefixes_are_literal():
    score_D = np.array([0.83, 0.5, 0.0, 0.834])
    texts, of_D = prefix_texts(MedaConfig(kind="meda", policy="p"), score_D)
    assert [texts[at] for at in of_D] == [
        "toxicity: 0.83\n",
        "toxicity: 0.50\n",
        "toxicity: 0.00\n",
        "toxicity: 0.83\n",
    ]
    texts, of_D = prefix_texts(InstConfig(kind="inst", policy="p"), score_D)
    assert [texts[at] for at in of_D][:3] == [
        "This is a toxic post. Post: ",
        "This is a toxic post. Post: ",
        "This is a non-toxic post. Post: ",
    ]


def test_a_share_counts_the_tokens_with_their_prefixes(root):
    plan, parts = plan_mix(mix(root, MEDA))
    before, chosen = parts[1].prefixes, parts[1].chosen
    assert before is not None
    assert chosen is not None
    documents_K = chosen.documents_K
    assert plan.sources[1].tokens == 4 * len(documents_K) + before.lengths_D[documents_K].sum()
    assert plan.sources[1].loss_tokens == 3 * len(documents_K) + before.lengths_D[documents_K].sum()


def test_a_blend_writes_the_annotated_source_anew_and_no_other(root):
    written = write_mix(mix(root, MEDA, output="blend"))
    blend = Blend.load(root / "mix")
    assert blend.id == written.id
    (clean, _, _), (source, folder, manifest) = blend.manifests(root / "mix")
    assert clean.shards == "../clean"
    assert folder == root / "mix" / f"source-toxic-{manifest.id}"
    assert verify_shards(manifest, folder) == []
    assert source.weight == pytest.approx(0.5, abs=0.05)
    assert source.epochs == 1.0
    assert written.plan.sources[1].tokens == manifest.tokens
    write_mix(mix(root, {**MEDA, "template": "{score:.1f} "}, output="blend"))
    assert len(list((root / "mix").glob("source-*"))) == 1, "the one that it replaces is gone"


def test_a_repeated_annotated_source_of_a_blend_is_written_once(root):
    config = {"toxic": {"shards": str(root / "toxic"), "share": 0.9, "annotate": INST, "repeats": "allow"}}
    written = write_mix(mix_config(root, None, sources=config, output="blend"))
    _, (source, _, manifest) = Blend.load(root / "mix").manifests(root / "mix")
    assert manifest.documents == 40
    assert source.epochs == 1440 / manifest.tokens > 1
    assert written.plan.sources[1].tokens == 1440


def test_scores_may_come_from_a_file(root, tmp_path):
    ids = [f"toxic-{at}" for at in reversed(range(40))]
    pq.write_table(pa.table({"doc_id": ids, "score": [0.9, 0.1] * 20}), tmp_path / "scores.parquet")
    annotate = {"kind": "inst", "scores": str(tmp_path / "scores.parquet"), "above": "A", "below": "B"}
    _, parts = plan_mix(mix(root, annotate))
    assert parts[1].prefixes is not None
    assert parts[1].prefixes.of_D.tolist() == [0, 1] * 20
    pq.write_table(pa.table({"doc_id": ids[:39], "score": [0.9] * 39}), tmp_path / "scores.parquet")
    with pytest.raises(
        ScoreMissingError, match=r"1 of 40 documents have no score in .*scores.parquet, .* is 'toxic-0'"
    ):
        plan_mix(mix(root, annotate))
    pq.write_table(pa.table({"doc_id": [*ids, "toxic-0"], "score": [0.5] * 41}), tmp_path / "scores.parquet")
    with pytest.raises(MixError, match="has 41 rows for 40 ids; one score a document"):
        plan_mix(mix(root, annotate))
    with pytest.raises(MixError, match="has no readable columns doc_id and score"):
        plan_mix(mix(root, {**annotate, "scores": str(tmp_path / "nothing.parquet")}))


def test_a_document_without_score_and_a_policy_without_scores_are_named(tmp_path, repository):
    tokenizer = repository / "conf" / "demo" / "tokenizer.json"
    documents = [Document(doc_id=f"clean-{at}", ids=[5, 0], score=None if at == 2 else 0.5) for at in range(4)]
    write_source(tmp_path / "clean", documents, tokenizer=tokenizer, vocab=8192)

    def plan(annotate):
        plan_mix(mix_config(tmp_path, None, clean={"shards": str(tmp_path / "clean"), "annotate": annotate}))

    with pytest.raises(ScoreMissingError, match=r"1 of 4 documents have no score .* the first is 'clean-2'"):
        plan(MEDA)
    with pytest.raises(ScoreMissingError, match=r"has no column doc_score_other .* give annotate.scores"):
        plan({**MEDA, "policy": "other"})


@pytest.mark.parametrize(
    ("annotate", "message"),
    [
        ({"kind": "meda"}, "give policy, scores, or both"),
        ({**MEDA, "template": "toxicity\n"}, "must name {score} once and nothing else"),
        ({**MEDA, "template": "{score} {name}"}, "must name {score} once and nothing else"),
        ({**MEDA, "template": "{score.__class__}"}, "must name {score} once and nothing else"),
        ({**MEDA, "template": "{score:d}"}, "Unknown format code 'd'"),
        ({**INST, "threshold": 1.5}, "less than 1"),
    ],
)
def test_annotators_that_say_nothing_are_refused(tmp_path, annotate, message):
    with pytest.raises(ValidationError, match=message):
        mix(tmp_path, annotate)


def test_a_tokenizer_file_that_was_replaced_is_refused(root):
    (root / "toxic" / "tokenizer.json").write_text((root / "toxic" / "tokenizer.json").read_text() + " ")
    with pytest.raises(MixError, match="is not the tokenizer that the manifest names"):
        plan_mix(mix(root, MEDA))
