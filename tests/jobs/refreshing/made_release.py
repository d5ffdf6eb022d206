"""Releases that are told apart by their version, for tests of what is done with releases."""

from tests.jobs.refreshing.report_values import release
from tokensieve.jobs.releases.release import Release


def made_release(version: int, variant: str | None = None, **fields: object) -> Release:
    """Release `version`; its tables are at the versions `version`, its manifest and ledger are named after it."""
    named = {
        "tables": {"scores": version, "quarantine": version, "masked": version},
        "ledger": f"ledger-{version}",
        "manifest": f"manifest-{version}",
    }
    return release(version=version, variant=variant, **(named | fields))
