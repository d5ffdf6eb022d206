"""Which releases vacuum keeps, and what they need."""

import pytest

from tests.jobs.refreshing.made_release import made_release
from tokensieve.jobs.errors import ConfigError
from tokensieve.jobs.releases.still_needed import kept_releases


@pytest.fixture
def five_releases(configure):
    """Releases 1, 2, 4 and 5, and 3 of a variant."""

    def make(*overrides: str):
        config = configure(*overrides)
        for version in range(1, 6):
            made_release(version, "strict" if version == 3 else None).create(config.tables.store)
        return config

    return make


def test_the_newest_of_each_variant_and_the_pinned_ones_stay(five_releases):
    kept = kept_releases(five_releases("refresh.keep_releases=2", "refresh.pinned=[1]"))
    assert [release.version for release in kept.stay] == [1, 3, 4, 5]
    assert [release.version for release in kept.go] == [2]
    assert kept.variants == {None, "strict"}
    assert kept.ledgers == {"ledger-1", "ledger-3", "ledger-4", "ledger-5"}
    assert kept.gone_manifests == {"manifest-2"}


def test_scores_are_shared_by_variants_and_masked_is_not(five_releases):
    kept = kept_releases(five_releases("refresh.keep_releases=1"))
    assert kept.versions("scores", None) == kept.versions("scores", "strict") == {3, 5}
    assert (kept.versions("masked", None), kept.versions("masked", "strict")) == ({5}, {3})


def test_a_manifest_that_a_kept_release_names_too_stays(five_releases):
    config = five_releases("refresh.keep_releases=1")
    made_release(6, manifest="manifest-5").create(config.tables.store)
    assert kept_releases(config).gone_manifests == {"manifest-1", "manifest-2", "manifest-4"}


def test_a_pin_that_is_no_release_is_refused(five_releases):
    with pytest.raises(ConfigError, match=r"refresh\.pinned: \[9\] are no releases"):
        kept_releases(five_releases("refresh.pinned=[1, 9]"))
