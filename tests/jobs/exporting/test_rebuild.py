"""The exact shards of a past manifest, from files that are still there or from the tables of that time."""

import shutil

import pytest

from tests.jobs.exporting.test_incremental import EACH_ALONE, one_run, write_file
from tests.mixes import all_bytes
from tests.releases import release_now
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.exporting.rebuild import rebuild
from tokensieve.pretrain.errors import ManifestError
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.shards.verify import verify_shards


@pytest.fixture(scope="module", params=["parquet", pytest.param("delta", marks=pytest.mark.slow)])
def two_runs(request, configure_in, spark, tmp_path_factory):
    """Each released; returns their folder, its settings, the first release and the bytes of its shard set."""
    folder = tmp_path_factory.mktemp("refreshes")
    options = (EACH_ALONE, "export.splits.valid=0.3", "export.scores=medicine", f"tables.format={request.param}")
    config = configure_in(folder)(*options)
    for number in range(3):
        write_file(folder / "source", number)
    one_run(config, spark)
    manifest = Manifest.load(config.shards)
    release = release_now(config)
    files = {name: (config.shards / name).read_bytes() for name in (*manifest.files(), "manifest.json")}
    write_file(folder / "source", 1, first=8)
    (folder / "source" / "part-02.parquet").unlink()
    one_run(config, spark)
    release_now(config)
    return folder, options, release, files


@pytest.fixture
def past(two_runs, configure, tmp_path):
    """The refreshes for one test alone; returns the configuration, the first release and the bytes of its shard set."""
    folder, options, release, files = two_runs
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return configure(*options), release, files


def test_files_that_are_still_there_are_linked(past, spark, tmp_path):
    config, release, files = past
    done = rebuild(config, spark, release.manifest, release.tables["masked"], tmp_path / "then")
    assert done["files"] == {"taken": len(files) - 1, "made_again": 0}
    assert all_bytes(tmp_path / "then") == files
    manifest = Manifest.load(tmp_path / "then")
    assert (manifest.id, verify_shards(manifest, tmp_path / "then")) == (release.manifest, [])
    name = f"{manifest.shards[0].prefix}.bin"
    assert (tmp_path / "then" / name).samefile(config.shards / name)


def test_shards_that_are_gone_or_damaged_are_made_again_to_the_same_bytes(past, spark, tmp_path):
    config, release, files = past
    manifest = Manifest.load(config.shards, release.manifest)
    gone, damaged = manifest.shards[0], manifest.shards[-1]
    for name in gone.files():
        (config.shards / name).unlink()
    (config.shards / damaged.docs).write_bytes(b"damaged")
    (config.shards / manifest.tokenizer.file).unlink()
    done = rebuild(config, spark, release.manifest, release.tables["masked"], tmp_path / "then")
    assert done["groups_made_again"] == 2
    assert all_bytes(tmp_path / "then") == files
    again = rebuild(config, spark, release.manifest, release.tables["masked"], tmp_path / "then")
    assert again["files"]["made_again"] == 0


def test_what_cannot_be_made_again_is_refused_with_the_reason(past, spark, tmp_path):
    config, release, _ = past
    manifest = Manifest.load(config.shards, release.manifest)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds notes.txt, which is not of manifest .* name an empty folder"):
        rebuild(config, spark, release.manifest, release.tables["masked"], tmp_path / "full")
    (config.shards / f"{manifest.shards[0].prefix}.bin").unlink()
    newest = config.tables.table("masked").newest()
    assert newest is not None
    with pytest.raises(
        InputError, match=r"holds the batch .* was made from .*; name the release that has this manifest"
    ):
        rebuild(config, spark, release.manifest, newest, tmp_path / "then")
    shutil.rmtree(config.shards / "manifests")
    with pytest.raises(ManifestError, match=f"manifest {release.manifest} is no longer kept"):
        rebuild(config, spark, release.manifest, release.tables["masked"], tmp_path / "later")
