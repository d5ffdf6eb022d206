"""Latents are described by their contexts, tested on others, chosen by the policy: each is in one of three states."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fake_claude import REFUSAL, FakeClaude
from tests.labelled_project import labelled_project
from tests.labeller import Labeller
from tests.planted import write_commit
from tokensieve.jobs.config.labelling import LabelConfig
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.labelling.sae import describe, select
from tokensieve.jobs.labelling.sae.latent_contexts import Context, by_latent, foils, held_out, shuffled
from tokensieve.jobs.labelling.sae.neuronpedia import read_export
from tokensieve.udfs.sae.contexts import CONTEXT_SCHEMA

WORDS = {3: "aspirin", 5: "bridge", 8: "headache", 13: "vague"}


@pytest.fixture
def fake(monkeypatch) -> Iterator[FakeClaude]:
    pytest.importorskip("anthropic", reason="asking Claude needs tokensieve[claude]")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    with FakeClaude(Labeller()) as server:
        yield server


def context(word: str, at: int) -> dict[str, object]:
    before = f"Größe {at}: some text with "
    start = len(before.encode())
    text = f"{before}{word} in the middle {at}."
    return {"doc_id": f"{word}-{at}", "text": text, "start": start, "end": start + len(word)}


def write_contexts(folder: Path, words: dict[int, str], each: int = 12) -> None:
    """As the verb `stats` writes them."""
    batch = folder / "tables" / "sae" / "contexts" / "batch=one"
    batch.mkdir(parents=True)
    rows = [
        {"latent_id": latent, "rank": at, "activation": 9.0 - at / 10, **context(word, at)}
        for latent, word in words.items()
        for at in range(each)
    ]
    pq.write_table(pa.Table.from_pylist(rows, CONTEXT_SCHEMA), batch / "part.parquet")
    write_commit(batch.parent, {"batch": "one", "inputs": {"slice_id": "abc"}}, batch.name)


def described(config: LabelConfig) -> dict[int, dict]:
    rows = pq.read_table(config.tables.folder / "sae" / "descriptions.parquet").to_pylist()
    return {row["latent_id"]: row for row in rows}


def selected(config: LabelConfig) -> dict:
    return json.loads((config.tables.folder / "sae" / "selected.json").read_text())


def test_latents_are_described_tested_and_chosen_by_the_policy(fake: FakeClaude, tmp_path):
    write_contexts(tmp_path, WORDS)
    config = labelled_project(tmp_path, fake.url)
    result = describe.run(config)
    assert {key: result[key] for key in ("latents", "described", "tested", "at_or_above_the_floor")} == {
        "latents": 4, "described": 4, "tested": 4, "at_or_above_the_floor": 4,
    }  # fmt: skip
    assert described(config)[3] == {
        "latent_id": 3, "description": "aspirin", "score": 1.0, "recall": 1.0, "source": "claude", "note": None,
    }  # fmt: skip
    counts = select.run(config)["latents"]
    assert counts == {"in": 4, "selected": 2, "rejected": 2, "undecided": 0}
    chosen = selected(config)
    assert (chosen["policy"], chosen["slice_id"], chosen["latents"]) == ("medicine", "abc", [3, 8])
    assert chosen["reasons"] == {"3": "10 contexts", "8": "10 contexts"}
    assert list(chosen["rejected"]) == ["5", "13"]
    # Both again: nothing is paid twice.
    calls = len(fake.calls)
    describe.run(config)
    select.run(config)
    assert len(fake.calls) == calls
    assert selected(config) == chosen


def test_an_explainer_never_sees_the_contexts_that_test_it(fake: FakeClaude, tmp_path):
    write_contexts(tmp_path, WORDS)
    describe.run(labelled_project(tmp_path, fake.url))
    labeller = fake.answer
    assert isinstance(labeller, Labeller)
    shown, tested = (one["features"].replace("<<", "").replace(">>", "") for one in labeller.asked)
    for number, word in enumerate(WORDS.values(), 1):
        seen, held = (set(feature(data, number)) & own(word) for data in (shown, tested))
        assert (len(seen), len(held)) == (7, 5)
        assert not seen & held
        assert len(feature(tested, number)) == 10  # as many of others


def feature(data: str, number: int) -> list[str]:
    """The windows of a feature as a prompt shows them, without their numbers."""
    lines = re.split(r"^(?=Feature)", data, flags=re.MULTILINE)[number].splitlines()[1:]
    return [line.split(maxsplit=1)[1] for line in lines]


def own(word: str) -> set[str]:
    return {str(context(word, at)["text"]) for at in range(12)}


def test_a_description_that_does_not_tell_its_contexts_apart_is_dropped(fake: FakeClaude, tmp_path):
    labeller = Labeller()
    fake.answer = lambda params: labeller(params).replace('"vague"', '"some text"')
    write_contexts(tmp_path, WORDS)
    config = labelled_project(tmp_path, fake.url)
    assert describe.run(config)["at_or_above_the_floor"] == 3
    assert described(config)[13]["score"] == 0.5  # it names all windows: none is told apart
    assert described(config)[13]["recall"] == 1.0
    select.run(config)
    assert selected(config)["rejected"]["13"] == "the description's score 0.50 is below the floor 0.9"
    select.run(labelled_project(tmp_path, fake.url, "claude.latents.quality_floor=0.4"))
    assert selected(config)["rejected"]["13"] == "10 contexts"


def test_a_score_at_the_floor_is_enough(fake: FakeClaude, tmp_path):
    write_contexts(tmp_path, {3: "aspirin", 5: "bridge"})
    config = labelled_project(tmp_path, fake.url)
    file = describe.run(config)["table"]
    table = pq.read_table(file)
    at = table.schema.get_field_index("score")
    pq.write_table(table.set_column(at, table.field(at), pa.array([0.9, 0.89], pa.float32())), file)
    select.run(config)
    assert selected(config)["latents"] == [3]
    assert list(selected(config)["rejected"]) == ["5"]


def test_no_answer_is_undecided_and_never_a_no(fake: FakeClaude, tmp_path):
    write_contexts(tmp_path, WORDS)
    config = labelled_project(tmp_path, fake.url, "claude.latents.per_request=1")
    describe.run(config)
    fake.answer = Labeller(instead={"aspirin": REFUSAL, "bridge": '{"latents": []}'})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(select, "latent_canaries", lambda policy, fence: [])
        counts = select.run(config)["latents"]
    assert counts == {"in": 4, "selected": 1, "rejected": 1, "undecided": 2}
    undecided = selected(config)["undecided"]
    assert undecided["3"].startswith("refused: ")
    assert undecided["5"] == "failed: latents must have each of the numbers 1 to 1 once, not []"
    assert selected(config)["latents"] == [8]


def test_latents_without_a_description_or_a_score_are_undecided(fake: FakeClaude, tmp_path):
    fake.answer = Labeller(instead={"<<aspirin>>": REFUSAL})
    write_contexts(tmp_path, WORDS)
    extra = tmp_path / "tables" / "sae" / "contexts" / "batch=one" / "more.parquet"
    rows = [{"latent_id": 21, "rank": 0, "activation": 1.0, **context("stroke", 0)}]
    pq.write_table(pa.Table.from_pylist(rows, CONTEXT_SCHEMA), extra)
    config = labelled_project(tmp_path, fake.url, "claude.latents.per_request=1")
    describe.run(config)
    fake.answer = Labeller()
    select.run(config)
    undecided = selected(config)["undecided"]
    assert undecided["3"].startswith("no description: refused: ")
    assert undecided["21"] == "no score: not tested: too few contexts, of its own or of others"
    assert selected(config)["latents"] == [8]


def test_all_of_two_thousand_latents_are_asked_about(fake: FakeClaude, tmp_path):
    """The released code stops after 1,600 rows and takes a failed call for a no."""
    write_contexts(tmp_path, {at: "aspirin" if at % 2 else "bridge" for at in range(2000)}, each=1)
    config = labelled_project(tmp_path, fake.url, "claude.latents.quality_floor=0")
    describe.run(config)
    counts = select.run(config)["latents"]
    assert counts == {"in": 2000, "selected": 1000, "rejected": 1000, "undecided": 0}
    assert selected(config)["latents"] == [*range(1, 2000, 2)]


def test_an_export_takes_the_place_of_the_explainer_and_is_tested_all_the_same(fake: FakeClaude, tmp_path):
    write_contexts(tmp_path, WORDS)
    export = tmp_path / "export.jsonl"
    lines = [
        {"index": "3", "explanations": [{"description": ""}, {"description": "aspirin", "typeName": "x"}]},
        {"index": 5, "explanations": [{"description": "words about ships"}]},
        {"index": 8, "description": "headache"},
        {"index": "99", "explanations": []},
    ]
    export.write_text("\n".join(map(json.dumps, lines)))
    config = labelled_project(tmp_path, fake.url, f"claude.latents.export={export}")
    assert describe.run(config)["described"] == 3
    found = described(config)
    assert (found[3]["description"], found[3]["score"], found[3]["source"]) == ("aspirin", 1.0, "neuronpedia")
    assert (found[5]["score"], found[5]["recall"]) == (0.5, 0.0)
    assert (found[13]["description"], found[13]["note"]) == (None, "not in the export")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[1]", "item 0: expected an object"),
        ('{"description": "x"}', "`index` must be the latent's number, not None"),
        ('{"index": 1}\n{"index": ', "export.json:2: not JSON"),
        ('[{"index": 1, "explanations": {}}]', "`explanations` must be a list"),
        ('[{"index": 1, "description": "a"}, {"index": 1, "description": "b"}]', "latent 1 was described before"),
    ],
)
def test_a_wrong_export_is_refused_with_its_place(tmp_path, content, expected):
    (tmp_path / "export.json").write_text(content)
    with pytest.raises(InputError, match=expected):
        read_export(str(tmp_path / "export.json"))


def test_an_export_of_another_sae_is_refused(fake: FakeClaude, tmp_path):
    write_contexts(tmp_path, WORDS)
    (tmp_path / "export.json").write_text('[{"index": 77, "description": "a"}]')
    with pytest.raises(InputError, match="describes none of the latents that have contexts"):
        describe.run(labelled_project(tmp_path, fake.url, f"claude.latents.export={tmp_path / 'export.json'}"))


def test_verbs_before_their_turn_say_which_one_to_run(fake: FakeClaude, tmp_path):
    config = labelled_project(tmp_path, fake.url)
    with pytest.raises(InputError, match="run `tokensieve label sae stats`"):
        describe.run(config)
    write_contexts(tmp_path, WORDS)
    with pytest.raises(InputError, match="run `tokensieve label sae describe`"):
        select.run(config)


def test_a_dry_run_of_both_sends_nothing_and_needs_no_key(fake: FakeClaude, tmp_path, monkeypatch):
    write_contexts(tmp_path, WORDS)
    config = labelled_project(tmp_path, fake.url)
    describe.run(config)
    calls = len(fake.calls)
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    dry = labelled_project(tmp_path, fake.url, "claude.dry_run=true")
    first = describe.run(dry)
    assert (first["requests"], first["already_paid"], first["new"]) == (2, 1, 1)
    assert "detect/1 requests hold the descriptions" in "\n".join(first["lines"])
    second = select.run(dry)
    assert (second["requests"], second["new"]) == (1, 1)
    assert second["dollars"] > 0
    assert "<<aspirin>>" in "\n".join(second["lines"])
    assert len(fake.calls) == calls
    assert not (tmp_path / "tables" / "sae" / "selected.json").exists()


def test_contexts_are_marked_and_cut_around_what_is_active():
    one = Context(doc_id="d", text="Größe und Blut fließt", start=12, end=16)
    assert one.marked(600) == "Größe und <<Blut>> fließt"
    assert one.marked(10) == "nd <<Blut>> fl"
    assert one.plain(10) == "nd Blut fl"
    assert Context(doc_id="d", text="é", start=0, end=1).marked(40) == "<<\ufffd>>\ufffd"


def test_contexts_come_by_hash_and_not_by_strength_and_some_are_kept_back():
    rows = [{"latent_id": 7, "rank": at, "activation": 1.0, **context("x", at)} for at in range(9)]
    contexts = by_latent(pa.Table.from_pylist(rows, CONTEXT_SCHEMA))[7]
    assert contexts == by_latent(pa.Table.from_pylist(rows[::-1], CONTEXT_SCHEMA))[7]
    assert [one.doc_id for one in contexts] != [row["doc_id"] for row in rows]
    for most, kept in ((2, 2), (5, 4), (20, 4)):
        back, shown = held_out(contexts, most)
        assert (len(back), [*back, *shown]) == (kept, contexts)
    assert held_out(contexts[:1], 5) == ([], contexts[:1])


def test_foils_are_of_other_latents_and_other_documents():
    def made(name: str, count: int) -> list[Context]:
        return [Context(doc_id=f"{name}{at}", text=name, start=0, end=1) for at in range(count)]

    latents = {1: made("a", 4), 2: made("b", 3), 3: [*made("a", 2), *made("c", 2)]}
    chosen = foils(latents, 1, 5)
    assert {one.doc_id for one in chosen} == {"b0", "b1", "b2", "c0", "c1"}
    assert foils(latents, 1, 5) == chosen
    assert foils({1: made("a", 4)}, 1, 5) == []
    mixed = shuffled(1, latents[1], chosen)
    assert sorted(active for _, active in mixed) == [False] * 5 + [True] * 4
    assert [active for _, active in mixed] != sorted(active for _, active in mixed)
