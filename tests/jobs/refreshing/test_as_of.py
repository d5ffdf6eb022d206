"""A past release is shown, and what is missing of it is said."""

import pytest

from tests.corpora import write_corpus
from tests.refresh_runs import no_session
from tokensieve.jobs import refresh
from tokensieve.jobs.errors import ConfigError, InputError
from tokensieve.jobs.refresh import refresh as command
from tokensieve.pretrain.shards.verify import verify_shards


@pytest.fixture
def two_runs(configure, tmp_path, spark):
    """A corpus with two releases, the second with one more shard."""
    write_corpus(tmp_path / "source", files=2)
    config = configure()
    first = refresh.run(config, lambda: spark)
    write_corpus(tmp_path / "source", files=3)
    return config, first, refresh.run(config, lambda: spark)


@pytest.mark.slow
def test_a_past_release_is_shown_rebuilt_and_said_to_be_gone_after_a_vacuum(two_runs, tmp_path, spark):
    from tokensieve.jobs import maintain
    from tokensieve.pretrain.shards.manifest import Manifest

    config, first, _ = two_runs
    shown = command(config, no_session, as_of=1)
    assert list(shown["files"]) == ["part-00000.parquet", "part-00001.parquet"]
    assert shown["release"]["documents"] == first.documents
    assert not shown["newest"]
    assert set(shown["there"].values()) == {True}

    rebuilt = tmp_path / "rebuilt"
    command(config, lambda: spark, as_of=1, rebuild=rebuilt)
    manifest = Manifest.load(rebuilt)
    assert (manifest.id, manifest.tokens) == (shown["release"]["manifest"], first.tokens)
    assert verify_shards(manifest, rebuilt) == []

    few = config.model_copy(update={"refresh": config.refresh.model_copy(update={"keep_releases": 1})})
    listed = maintain.removable(few, spark)["files"]
    assert set(command(config, no_session, as_of=1)["there"].values()) == {True}, "a dry run removes nothing"
    pinned = few.model_copy(update={"refresh": few.refresh.model_copy(update={"pinned": (1,)})})
    assert maintain.vacuum(pinned, spark)["files"] == []
    assert maintain.vacuum(few, spark)["files"] == listed
    with pytest.raises(InputError, match="no release 1; releases 2 to 2 are there"):
        command(config, no_session, as_of=1)
    assert set(command(config, no_session, as_of=2)["there"].values()) == {True}
    assert refresh.run(config, no_session).state == "nothing_new"
    assert maintain.removable(few, spark)["files"] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rebuild": "x"}, "--rebuild needs --as-of"),
        ({"as_of": 1, "dry_run": True}, "--as-of shows a release"),
        ({"as_of": 1, "replay": True}, "--as-of shows a release"),
    ],
)
def test_options_that_exclude_each_other_are_refused(configure, options, said):
    with pytest.raises(ConfigError, match=said):
        command(configure(), no_session, **options)
