"""What is new, changed, gone, missing and rescored between two ledgers."""

from tokensieve.jobs.refreshing.sources import Sources, source_changes
from tokensieve.jobs.source.changes import Changes
from tokensieve.jobs.tables.ledger import Ledger, Source

NOTHING = Sources(changes=None, ledger=None, version=None)


def ledger(**sources: tuple[str, int]) -> Ledger:
    """Sources by name, each with its version and the version of scores that wrote it."""
    return Ledger(
        {name: Source(name=name, version=of, documents=1, written=written) for name, (of, written) in sources.items()}
    )


def test_every_kind_of_change_is_told_apart():
    before = ledger(kept=("1", 0), changed=("1", 0), moved=("1", 0), gone=("1", 0), missing=("1", 0))
    now = ledger(kept=("1", 0), changed=("2", 1), moved=("1", 1), missing=("1", 0), new=("1", 1))
    listed = Changes(new=(), changed=(), again=(), gone=(), kept=(), missing=("missing",), versions={})
    found = source_changes(now, before, Sources(changes=listed, ledger=now, version=None))
    assert (found.new, found.changed, found.rescored) == (("new",), ("changed",), ("moved",))
    assert (found.gone, found.missing, found.kept) == (("gone",), ("missing",), 2)


def test_all_is_new_in_the_first_release():
    assert source_changes(ledger(a=("1", 0)), None, NOTHING).new == ("a",)


def test_a_delta_source_has_no_files():
    assert source_changes(None, None, NOTHING).kept == 0


def test_broken_files_are_told_with_their_reason():
    broken = Source(name="a", version="1", documents=1, fault="unreadable_file", detail="no magic", written=0)
    found = source_changes(Ledger({"a": broken}), Ledger({"a": broken}), NOTHING)
    assert (found.broken, found.kept) == ({"a": "unreadable_file: no magic"}, 1)
