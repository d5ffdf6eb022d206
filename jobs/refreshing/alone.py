"""Where a table's own commits do not exclude a second writer, a verb that writes tables holds the refresh's lock.

That is Delta on S3: its connector (4.4) excludes writers of one process only, and one of two would vanish without a
word. Everywhere else commits exclude each other, so there verbs take no lock.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from jobs.refreshing.config import RefreshConfig
from jobs.refreshing.lock import locked
from jobs.store_connector import s3_places
from jobs.tables import TablesConfig

WRITERS = ("score", "mask", "sweep")


@contextmanager
def alone(tables: TablesConfig, verb: str) -> Iterator[None]:
    """While inside, no other verb writes these tables, where that matters. Raises BusyError that says who does."""
    if verb not in WRITERS or tables.format != "delta" or not s3_places([(tables.root, tables.storage)]):
        yield
        return
    with locked(tables.store, RefreshConfig().lock_lease_s, verb):
        yield
