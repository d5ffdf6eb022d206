"""Plans: realised shares by both definitions, what is refused with which numbers, and that nothing is written."""

import pytest
from pydantic import ValidationError

from tests.mixes import (
    CLEAN_IDS,
    OTHER_IDS,
    TOXIC_IDS,
    Document,
    all_bytes,
    made_up,
    mix_config,
    write_source,
    written_documents,
)
from tokensieve.pretrain.errors import CoarseSourceError, ExhaustedSourceError, MixError, OtherTokenizerError
from tokensieve.pretrain.mix.plan import MixPlan, plan_mix
from tokensieve.pretrain.shards.manifest import Manifest

RATIOS = (0.0, 0.05, 0.10, 0.15, 0.20, 0.25)
CLEAN_TOKENS = 67_660
TOXIC_TOKENS = 43_776


def plan(root, share, **changes) -> MixPlan:
    return plan_mix(mix_config(root, share, **changes))[0]


@pytest.mark.parametrize("output", ["blend", "shards"])
@pytest.mark.parametrize("share_of", ["total", "clean"])
@pytest.mark.parametrize("share", RATIOS)
def test_the_papers_ratios_are_realised_by_both_definitions_beside_a_constant_clean_part(
    sources, share, share_of, output
):
    made = plan(sources, share, share_of=share_of, output=output)
    clean, *added = made.sources
    assert (clean.name, clean.tokens, clean.passes) == ("clean", CLEAN_TOKENS, 1.0)
    if share == 0:
        assert added == []
        assert made.tokens == CLEAN_TOKENS
        return
    (toxic,) = added
    whole = made.tokens if share_of == "total" else CLEAN_TOKENS
    assert toxic.share == toxic.tokens / whole
    assert abs(toxic.share - share) <= 0.001
    assert made.tokens == CLEAN_TOKENS + toxic.tokens


def test_a_plan_counts_the_documents_tokens_and_loss_of_the_train_split(sources):
    made = plan(sources, 0.25)
    rows = written_documents(sources / "clean")
    clean, toxic = made.sources
    assert (clean.documents, clean.tokens) == (2000, sum(len(row["ids"]) for row in rows))
    assert clean.loss_tokens == sum(sum(row["mask"]) for row in rows)
    assert toxic.counted
    assert toxic.tokens == round(toxic.passes * TOXIC_TOKENS)
    assert made.loss_tokens == clean.loss_tokens + toxic.loss_tokens
    assert toxic.manifest_id == Manifest.load(sources / "toxic").id


def test_a_blends_documents_and_loss_are_marked_as_expectations(sources):
    made = plan(sources, 0.25, output="blend")
    toxic = made.sources[1]
    assert not toxic.counted
    assert toxic.tokens == round(CLEAN_TOKENS / 3)
    assert toxic.documents == round(1300 * toxic.passes)
    assert "a blend draws samples: its documents and loss-bearing tokens are expectations" in made.lines()


def test_planning_writes_nothing(sources, tmp_path):
    before = all_bytes(sources)
    plan(sources, 0.1, out=str(tmp_path / "mix"))
    assert all_bytes(sources) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output", ["blend", "shards"])
def test_a_part_of_the_clean_source_is_held_constant(sources, output):
    changes = {"clean": {"shards": str(sources / "clean"), "tokens": 30_000}, "output": output}
    plans = [plan(sources, share, **changes) for share in (0.05, 0.25)]
    first, second = (made.sources[0] for made in plans)
    assert first == second.__class__(**{**vars(second), "share": first.share})
    assert abs(first.tokens - 30_000) <= 30
    assert first.passes == pytest.approx(30_000 / CLEAN_TOKENS, abs=1e-3)


def test_a_share_of_a_thousandth_works_where_the_documents_are_short_enough(sources, tmp_path):
    made = plan(sources, 0.001)
    assert abs(made.sources[1].share - 0.001) <= 0.0001
    write_source(tmp_path / "long", [Document(doc_id="long-0", ids=[31] * 9000 + [0])])
    config = {"toxic": {"shards": str(tmp_path / "long"), "share": 0.001}}
    with pytest.raises(CoarseSourceError, match=r"whole documents give 0 or 9,001 tokens, asked for are 68 \+- 6"):
        plan(sources, None, sources=config)


@pytest.mark.parametrize(("output", "missing"), [("blend", "57,714"), ("shards", "57,714")])
def test_an_exhausted_source_is_named_with_the_tokens_that_are_missing(sources, output, missing):
    with pytest.raises(
        ExhaustedSourceError, match=f"source toxic .*101,490 tokens .* holds 43,776; {missing} are missing"
    ):
        plan(sources, 0.6, output=output)


@pytest.mark.parametrize("output", ["blend", "shards"])
def test_repeats_go_over_a_source_several_times(sources, output):
    config = {"toxic": {"shards": str(sources / "toxic"), "share": 0.6, "repeats": "allow"}}
    made = plan(sources, None, sources=config, output=output)
    assert made.sources[1].passes == pytest.approx(101_490 / TOXIC_TOKENS, abs=1e-3)
    assert abs(made.sources[1].share - 0.6) <= 0.001


def test_too_few_clean_tokens_are_named(sources):
    with pytest.raises(ExhaustedSourceError, match=r"source clean .*99,999 tokens are needed and it holds 67,660"):
        plan(sources, 0.1, clean={"shards": str(sources / "clean"), "tokens": 99_999})


def test_shares_of_several_sources_add_up(sources, tmp_path):
    write_source(tmp_path / "other", made_up("other", OTHER_IDS, 900, seed=5))
    config = {
        "toxic": {"shards": str(sources / "toxic"), "share": 0.2},
        "other": {"shards": str(tmp_path / "other"), "share": 0.1},
    }
    made = plan(sources, None, sources=config)
    assert [one.name for one in made.sources] == ["clean", "toxic", "other"]
    assert [one.share for one in made.sources] == pytest.approx([0.7, 0.2, 0.1], abs=0.001)
    assert sum(one.share for one in made.sources) == pytest.approx(1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": {"toxic": {"shards": "t", "share": 1.0}}}, "add up to 1, which leaves nothing for the clean"),
        ({"sources": {"a": {"shards": "t", "share": 0.7}, "b": {"shards": "t", "share": 0.4}}}, "add up to 1.1"),
        ({"sources": {"clean": {"shards": "t", "share": 0.1}}}, "`clean` names the constant part"),
        ({"clean": {"shards": "a", "tables": "b"}}, "give one of shards and tables"),
        ({"clean": {}}, "give one of shards and tables"),
        ({"sources": {"a": {"shards": "t", "share": -0.1}}}, "greater than or equal to 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path, changes, message):
    with pytest.raises(ValidationError, match=message):
        mix_config(tmp_path, 0.1, **changes)


def test_a_multiple_of_the_clean_part_may_be_one_and_more(sources):
    config = {"toxic": {"shards": str(sources / "toxic"), "share": 1.0, "repeats": "allow"}}
    made = plan(sources, None, sources=config, share_of="clean")
    assert made.sources[1].tokens == pytest.approx(CLEAN_TOKENS, abs=67)


def test_a_source_of_another_tokenizer_is_refused_with_both_values(sources, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(b"[]")
    documents = made_up("toxic", TOXIC_IDS, 900)
    write_source(tmp_path / "toxic", documents, tokenizer=tmp_path / "tokenizer.json", vocab=256)
    config = {"toxic": {"shards": str(tmp_path / "toxic"), "share": 0.1}}
    with pytest.raises(OtherTokenizerError) as raised:
        plan(sources, None, sources=config)
    assert "sha256 is 44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a in clean" in str(raised.value)
    assert "and 4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945 in toxic" in str(raised.value)
    assert "hidden_id is 127 in clean and 255 in toxic" in str(raised.value)
    assert "padded_vocab_size is 128 in clean and 256 in toxic" in str(raised.value)


def test_another_eod_is_another_tokenizer(sources, tmp_path):
    write_source(tmp_path / "toxic", made_up("toxic", TOXIC_IDS, 900), eod=7)
    with pytest.raises(OtherTokenizerError, match="eod is 0 in clean and 7 in toxic; export one of them again"):
        plan(sources, None, sources={"toxic": {"shards": str(tmp_path / "toxic"), "share": 0.1}})


def test_a_tables_root_gives_its_exported_shards(sources, tmp_path):
    write_source(tmp_path / "tables" / "shards", made_up("clean", CLEAN_IDS, 50))
    made = plan(sources, None, clean={"tables": str(tmp_path / "tables")})
    assert (made.sources[0].shards, made.documents) == (str(tmp_path / "tables" / "shards"), 50)


def test_a_table_that_was_not_exported_names_the_command(sources, tmp_path):
    (tmp_path / "tables" / "masked").mkdir(parents=True)
    with pytest.raises(MixError, match=f"run `tokensieve export --config FILE tables.root={tmp_path / 'tables'}`"):
        plan(sources, None, clean={"tables": str(tmp_path / "tables")})
    with pytest.raises(MixError, match="source clean: tables: there is no folder"):
        plan(sources, None, clean={"tables": str(tmp_path / "nothing")})
    with pytest.raises(MixError, match="name a folder that `tokensieve export` wrote"):
        plan(sources, None, clean={"shards": str(tmp_path / "tables")})


def test_a_source_of_share_zero_need_not_exist(sources, tmp_path):
    config = {"toxic": {"tables": str(tmp_path / "nothing"), "share": 0.0}}
    assert [one.name for one in plan(sources, None, sources=config).sources] == ["clean"]


def test_a_document_index_of_other_documents_is_refused(tmp_path):
    root = write_source(tmp_path / "clean", made_up("clean", CLEAN_IDS, 5), made_up("clean", CLEAN_IDS, 9))
    (root / "docs" / "shard-00000.parquet").write_bytes((root / "docs" / "shard-00001.parquet").read_bytes())
    with pytest.raises(MixError, match=r"shard-00000.parquet has 9 rows .* the manifest says 5 documents"):
        plan(tmp_path, None)
    (root / "docs" / "shard-00000.parquet").write_bytes(b"damaged")
    with pytest.raises(MixError, match=r"shard-00000.parquet cannot be read"):
        plan(tmp_path, None)
