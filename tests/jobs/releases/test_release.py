"""Releases are numbered, written once, and found again."""

import pytest

from tests.jobs.refreshing.made_release import made_release
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.releases.release import Release, newest_release, releases
from tokensieve.jobs.tables.open_store import open_store


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path))


def test_a_release_reads_back_as_it_was_written(store):
    assert made_release(1).create(store)
    assert Release.load(store, 1) == made_release(1)


def test_of_two_that_make_the_same_version_the_second_changes_nothing(store):
    assert made_release(1).create(store)
    assert not made_release(1, variant="other").create(store)
    assert Release.load(store, 1).variant is None


def test_the_newest_release_is_that_of_the_variant(store):
    for version, variant in enumerate((None, "strict", None, "strict"), start=1):
        made_release(version, variant).create(store)
    assert releases(store) == [1, 2, 3, 4]
    assert [newest_release(store, variant).version for variant in (None, "strict")] == [3, 4]  # type: ignore[union-attr]
    before = newest_release(store, None, before=3)
    assert before is not None
    assert before.version == 1
    assert newest_release(store, "never") is None


def test_a_release_that_is_not_there_names_those_that_are(store):
    with pytest.raises(InputError, match="no release was made yet"):
        Release.load(store, 1)
    made_release(1).create(store)
    with pytest.raises(InputError, match=r"no release 7; releases 1 to 1 are there"):
        Release.load(store, 7)


def test_a_damaged_release_is_refused_by_name(store):
    store.write("releases/00000001.json", b'{"version": 1}')
    with pytest.raises(InputError, match=r"00000001\.json: not a release"):
        Release.load(store, 1)
