"""Which version of the table `quarantine` belongs to a version of `scores`: the commit of `scores` says it.

`scores` commits last, so its commit is the one that counts: a quarantine that a killed run left is not looked at.
"""

from typing import TYPE_CHECKING

from tokensieve.jobs.errors import InputError
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.jobs.tables.table import Commit

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

KEY = "quarantine"  # in the inputs of a commit of `scores`


def pinned_version(scores: Commit) -> int:
    """The version of `quarantine` that belongs to a commit of `scores`."""
    version = scores.inputs.get(KEY)
    if not isinstance(version, int):
        raise InputError("scores: this commit names no version of the table quarantine; run `tokensieve score` again")
    return version


def read_quarantine(tables: TablesConfig, spark: "SparkSession", version: int | None = None) -> "DataFrame":
    """The rows that belong to a version of `scores`, by default the newest. Raises InputError without one."""
    commit = tables.table("scores").commit(version)
    if commit is None:
        raise InputError(f"{tables.root}: no scores table; run `tokensieve score` first")
    return tables.table("quarantine").read(spark, pinned_version(commit))
