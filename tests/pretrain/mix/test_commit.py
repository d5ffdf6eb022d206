"""A mix appears whole or not at all, whatever kills the run, and never in place of something that is no mix."""

import pytest

from tests.mixes import CLEAN_IDS, all_bytes, made_up, mix_config, write_source
from tokensieve.pretrain.errors import ManifestError, MixError
from tokensieve.pretrain.mix.write import write_mix
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.shards.shard import ShardWriter
from tokensieve.pretrain.shards.verify import verify_shards


def test_a_run_that_dies_while_it_writes_leaves_nothing_behind(write, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "add", die)
        with pytest.raises(KeyboardInterrupt):
            write()
    assert list((tmp_path / "mix").iterdir()) == []
    with pytest.raises(ManifestError, match="no manifest here"):
        Manifest.load(tmp_path / "mix")


def test_a_run_that_dies_before_its_manifest_leaves_the_mix_before_whole(write, tmp_path, monkeypatch):
    write()
    before = all_bytes(tmp_path / "mix")
    with monkeypatch.context() as patch:
        patch.setattr(
            "tokensieve.pretrain.mix.write.Manifest.save",
            lambda manifest, folder: die() if folder.name == "mix" else None,
        )
        with pytest.raises(KeyboardInterrupt):
            write(seed=1)
    assert len(all_bytes(tmp_path / "mix")) > len(before), "the new shards lie there, but no manifest names them"
    assert verify_shards(Manifest.load(tmp_path / "mix"), tmp_path / "mix") == []
    (tmp_path / "mix" / "_staging-of-a-killed-run").mkdir()
    write()
    assert all_bytes(tmp_path / "mix") == before
    assert not list((tmp_path / "mix").glob("_staging-*"))


def die(*_):
    raise KeyboardInterrupt


def test_what_is_no_mix_of_this_kind_is_never_replaced(write, sources, tmp_path):
    with pytest.raises(MixError, match="is the folder of source toxic"):
        write_mix(mix_config(sources, 0.2, out=str(sources / "toxic")))
    write_source(tmp_path / "foreign", made_up("clean", CLEAN_IDS, 5))
    with pytest.raises(MixError, match=r"foreign holds a manifest.json that this mix would hide or replace"):
        write(name="foreign")
    write()
    with pytest.raises(
        MixError, match=r"holds a manifest.json that this mix would hide or replace; give another folder"
    ):
        write(output="blend")
    write(name="blended", output="blend")
    with pytest.raises(MixError, match=r"holds a blend.json that this mix would hide or replace"):
        write(name="blended")
