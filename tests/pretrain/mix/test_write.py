"""Mixes on disk: the same bytes from the same sources, each document traceable, visible all at once or not at all."""

import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.mixes import CLEAN_IDS, TOXIC_IDS, all_bytes, made_up, mix_config, write_source, written_documents
from tokensieve.pretrain.errors import MixError
from tokensieve.pretrain.mix.write import write_mix
from tokensieve.pretrain.shards.blend import Blend
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.shards.shard import ShardReader
from tokensieve.pretrain.shards.verify import verify_shards


def test_a_shard_set_holds_the_chosen_documents_unchanged_and_leads_back_to_their_rows(write, sources, tmp_path):
    written = write(0.2)
    manifest = Manifest.load(tmp_path / "mix")
    assert manifest.id == written.id
    assert verify_shards(manifest, tmp_path / "mix") == []
    origin = {
        (row["source_file"], row["source_row"]): row
        for name in ("clean", "toxic")
        for row in written_documents(sources / name)
    }
    rows = written_documents(tmp_path / "mix")
    for row in rows:
        source = origin[row["source_file"], row["source_row"]]
        assert row["source"] == source["doc_id"].split("-")[0]
        assert all(row[key] == source[key] for key in ("doc_id", "ids", "mask", "doc_score_toxicity"))
    tokens = {name: sum(len(row["ids"]) for row in rows if row["source"] == name) for name in ("clean", "toxic")}
    assert tokens == {one.name: one.tokens for one in written.plan.sources}
    assert sum(sum(row["mask"]) for row in rows) == written.plan.loss_tokens
    assert len({row["doc_id"] for row in rows}) == len(rows) == written.plan.documents


def test_documents_of_all_sources_are_shuffled_together(write, tmp_path):
    write(0.2)
    names = [row["source"] for row in written_documents(tmp_path / "mix")]
    quarter = len(names) // 4
    shares = [names[at : at + quarter].count("toxic") / quarter for at in range(0, 4 * quarter, quarter)]
    assert all(0.15 < share < 0.3 for share in shares)


def test_the_same_mix_twice_has_the_same_bytes_and_another_seed_has_others(write, tmp_path):
    for output in ("shards", "blend"):
        write(output=output, name=f"one-{output}")
        write(output=output, name=f"two-{output}")
        first = all_bytes(tmp_path / f"one-{output}")
        assert first == all_bytes(tmp_path / f"two-{output}")
        write(output=output, name=f"two-{output}")
        assert first == all_bytes(tmp_path / f"two-{output}"), "a second run changes nothing"
    write(name="other", seed=1)
    one, other = (written_documents(tmp_path / name) for name in ("one-shards", "other"))
    assert [row["doc_id"] for row in one] != [row["doc_id"] for row in other]


def test_the_order_of_documents_does_not_follow_the_order_of_shards(sources, tmp_path):
    clean, toxic = made_up("clean", CLEAN_IDS, 200), made_up("toxic", TOXIC_IDS, 200, seed=2)
    orders = []
    for name, shards in (("a", (clean[:50], clean[50:])), ("b", (clean[50:], clean[:50]))):
        write_source(tmp_path / name / "clean", *shards)
        write_source(tmp_path / name / "toxic", toxic if name == "a" else toxic[::-1])
        write_mix(mix_config(tmp_path / name, 0.2))
        orders.append([row["doc_id"] for row in written_documents(tmp_path / name / "mix")])
    assert orders[0] == orders[1]


def test_the_clean_part_is_the_same_in_every_mix(write, tmp_path, sources):
    chosen = []
    for share in (0.0, 0.05, 0.25):
        write(share, name=f"mix-{share}", clean={"shards": str(sources / "clean"), "tokens": 20_000})
        rows = written_documents(tmp_path / f"mix-{share}")
        chosen.append({row["doc_id"] for row in rows if row["source"] == "clean"})
    assert chosen[0] == chosen[1] == chosen[2]
    assert 0 < len(chosen[0]) < 1000


def test_repeats_are_told_apart_by_their_pass(sources, tmp_path, write):
    config = {"toxic": {"shards": str(sources / "toxic"), "share": 0.6, "repeats": "allow"}}
    write(None, sources=config)
    rows = [row for row in written_documents(tmp_path / "mix") if row["source"] == "toxic"]
    assert {row["pass"] for row in rows} == {0, 1, 2}
    assert len({(row["doc_id"], row["pass"]) for row in rows}) == len(rows)
    assert sum(row["pass"] == 0 for row in rows) == sum(row["pass"] == 1 for row in rows) == 1300


def test_shards_are_cut_to_size_and_named_by_content(write, tmp_path):
    write(shard_tokens=20_000)
    shards = Manifest.load(tmp_path / "mix").shards_of("train")
    assert len(shards) == 5
    assert max(shard.tokens for shard in shards) - min(shard.tokens for shard in shards) < 120
    write(shard_tokens=20_000, seed=1)
    assert not {shard.prefix for shard in shards} & {
        s.prefix for s in Manifest.load(tmp_path / "mix").shards_of("train")
    }
    files = {file.name.split(".")[0].removesuffix("_mask") for file in (tmp_path / "mix").glob("mix-*")}
    assert len(files) == 5, "shards of the mix before are gone"


def test_the_clean_sources_valid_shards_come_along_unchanged(write, sources, tmp_path):
    write()
    (valid,) = Manifest.load(tmp_path / "mix").shards_of("valid")
    assert valid == Manifest.load(sources / "clean").shards_of("valid")[0]
    for file in ("shard-00002.bin", "shard-00002_mask.idx", "docs/shard-00002.parquet"):
        assert (tmp_path / "mix" / file).read_bytes() == (sources / "clean" / file).read_bytes()


def test_a_mix_says_what_it_was_made_from(sources, tmp_path):
    write_source(tmp_path / "clean", made_up("clean", CLEAN_IDS, 300), policy="medicine", rule="r1")
    write_source(tmp_path / "toxic", made_up("toxic", TOXIC_IDS, 300), rule="r2")
    write_mix(mix_config(tmp_path, 0.1))
    inputs = Manifest.load(tmp_path / "mix").inputs
    assert inputs.policies == {"medicine": "1", "toxicity": "1"}
    assert inputs.source_table["source.clean"] == Manifest.load(tmp_path / "clean").id
    assert inputs.source_table["source.toxic"] == Manifest.load(tmp_path / "toxic").id
    about = json.loads((tmp_path / "mix" / "mix.json").read_text())
    assert about["written"] == Manifest.load(tmp_path / "mix").id
    assert about["plan"]["sources"][1]["requested"] == 0.1
    columns = pq.read_table(next((tmp_path / "mix" / "docs").glob("*.parquet"))).column_names
    assert columns[-2:] == ["doc_score_medicine", "doc_score_toxicity"]


def test_score_companions_travel_along_unless_they_are_dropped(tmp_path, repository):
    tokenizer = repository / "conf" / "demo" / "tokenizer.json"
    clean = made_up("clean", CLEAN_IDS, 300)
    write_source(
        tmp_path / "clean", clean[20:], clean[:20], splits=["train", "valid"], scores=True, tokenizer=tokenizer
    )
    write_source(tmp_path / "toxic", made_up("toxic", TOXIC_IDS, 300), scores=True, tokenizer=tokenizer)
    write_mix(mix_config(tmp_path, 0.1))
    manifest = Manifest.load(tmp_path / "mix")
    assert manifest.inputs.scores == "toxicity"
    for shard in manifest.shards:
        reader = ShardReader(tmp_path / "mix" / shard.prefix)
        assert reader.scores_T.tolist() == reader.ids_T.tolist()
        assert shard.score_counts == tuple(np.bincount(reader.ids_T, minlength=256))
    write_mix(mix_config(tmp_path, 0.1, scores="drop"))
    assert verify_shards(Manifest.load(tmp_path / "mix"), tmp_path / "mix") == []
    assert {shard.score_counts for shard in Manifest.load(tmp_path / "mix").shards} == {None}
    assert list((tmp_path / "mix").glob("*_score*")) == []


def test_the_prefix_of_an_annotator_is_forgotten_at_no_threshold_or_at_every_one(tmp_path, repository):
    tokenizer = repository / "conf" / "demo" / "tokenizer.json"
    write_source(tmp_path / "clean", made_up("clean", CLEAN_IDS, 9), scores=True, tokenizer=tokenizer, vocab=8192)
    for loss, score in ((True, 0), (False, 255)):
        annotate = {"kind": "inst", "policy": "toxicity", "loss": loss}
        clean = {"shards": str(tmp_path / "clean"), "annotate": annotate}
        write_mix(mix_config(tmp_path, None, clean=clean))
        (shard,) = Manifest.load(tmp_path / "mix").shards
        reader = ShardReader(tmp_path / "mix" / shard.prefix)
        for row in written_documents(tmp_path / "mix"):
            first, before = int(reader.starts_D[row["index"]]), row["prefix_tokens"]
            assert before > 3
            assert reader.scores_T[first : first + before].tolist() == [score] * before
            assert reader.scores_T[first + before : first + len(row["ids"])].tolist() == row["ids"][before:]


def test_score_companions_of_two_policies_cannot_be_mixed(tmp_path):
    write_source(tmp_path / "clean", made_up("clean", CLEAN_IDS, 300), scores=True)
    write_source(tmp_path / "toxic", made_up("toxic", TOXIC_IDS, 300))
    with pytest.raises(MixError, match=r"scores of {'clean': 'toxicity', 'toxic': None}; .* or set scores: drop"):
        write_mix(mix_config(tmp_path, 0.1))


def test_a_blend_copies_nothing_and_names_weights_and_passes(write, sources, tmp_path):
    written = write(0.2, output="blend")
    assert sorted(os.listdir(tmp_path / "mix")) == ["blend.json", "mix.json"]
    blend = Blend.load(tmp_path / "mix")
    (clean, _, manifest), (toxic, folder, _) = blend.manifests(tmp_path / "mix")
    assert (clean.weight, toxic.weight) == (pytest.approx(0.8, abs=1e-5), pytest.approx(0.2, abs=1e-5))
    assert blend.tokens == written.plan.tokens
    assert clean.epochs == 1.0
    assert toxic.epochs == pytest.approx(0.25 * 67_660 / 43_776, abs=1e-4)
    assert folder.resolve() == (sources / "toxic").resolve()
    assert manifest.id == Manifest.load(sources / "clean").id


def test_another_split_of_a_source_is_written_anew_for_a_blend(write, sources, tmp_path):
    config = {"toxic": {"shards": str(sources / "clean"), "share": 0.05, "split": "valid"}}
    write(None, sources=config, output="blend")
    _, (_, folder, manifest) = Blend.load(tmp_path / "mix").manifests(tmp_path / "mix")
    assert folder.parent == tmp_path / "mix"
    assert [shard.split for shard in manifest.shards] == ["train"]
    valid = {row["doc_id"] for row in written_documents(sources / "clean", "valid")}
    assert {row["doc_id"] for row in written_documents(folder)} <= valid


def test_a_blend_is_no_source(write, sources, tmp_path):
    write(output="blend")
    with pytest.raises(MixError, match="is a blend; name the shard sets that it blends as sources"):
        write(clean={"shards": str(tmp_path / "mix")}, name="again")


def test_a_mix_is_a_source_again(write, sources, tmp_path):
    write(0.2)
    written = write(0.1, clean={"shards": str(tmp_path / "mix")}, name="again")
    assert written.plan.sources[0].tokens == sum(s.tokens for s in Manifest.load(tmp_path / "mix").shards_of("train"))
    assert verify_shards(Manifest.load(tmp_path / "again"), tmp_path / "again") == []
