"""Sums over rows of a masked table that can be added and taken away, so that a refresh counts only what it changed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.releases.release_report import Totals

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession

    from tokensieve.jobs.releases.release import Release
    from tokensieve.jobs.tables.table import Table


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Rows, UTF-8 bytes of their texts, and policy to the bytes in its forget spans."""

    documents: int
    text_bytes: int
    forget_bytes: Mapping[str, int]

    @classmethod
    def of(cls, totals: Totals) -> "Sums":
        """The sums behind a release's totals."""
        documents = totals.documents["in"] - totals.documents["quarantine"]
        return cls(documents=documents, text_bytes=totals.text_bytes, forget_bytes=totals.forget_bytes)

    def __add__(self, other: "Sums") -> "Sums":
        return self._joined(other, 1)

    def __sub__(self, other: "Sums") -> "Sums":
        return self._joined(other, -1)

    def _joined(self, other: "Sums", sign: int) -> "Sums":
        policies = self.forget_bytes.keys() | other.forget_bytes.keys()
        return Sums(
            documents=self.documents + sign * other.documents,
            text_bytes=self.text_bytes + sign * other.text_bytes,
            forget_bytes={
                name: self.forget_bytes.get(name, 0) + sign * other.forget_bytes.get(name, 0)
                for name in sorted(policies)
            },
        )

    def totals(self, release: "Release") -> Totals:
        """With what the release itself says."""
        return Totals(
            documents=release.documents,
            text_bytes=self.text_bytes,
            forget_bytes=self.forget_bytes,
            tokens=release.tokens,
            loss_tokens=release.loss_tokens,
        )


def sums_of(
    masked: "Table",
    spark: "SparkSession",
    release: "Release",
    policies: Collection[str],
    sources: Collection[str] | None,
) -> Sums:
    """The sums of a release's rows of these source files, None for all; without a Spark job where there are none."""
    from pyspark.sql import functions as F

    if sources is not None and not sources:
        return Sums(documents=0, text_bytes=0, forget_bytes=dict.fromkeys(policies, 0))
    rows = masked.read(spark, release.tables["masked"], sources)
    found: Any = rows.agg(
        F.count("*").alias("documents"),
        F.sum(F.octet_length("text")).alias("text_bytes"),
        *(F.sum(_span_bytes(policy)).alias(f"forget_{policy}") for policy in policies),
    ).collect()[0]
    return Sums(
        documents=found["documents"],
        text_bytes=found["text_bytes"] or 0,
        forget_bytes={policy: found[f"forget_{policy}"] or 0 for policy in policies},
    )


def _span_bytes(policy: str) -> "Column":
    from pyspark.sql import functions as F

    own = F.filter("forget_spans", lambda span: span["policy"] == policy)
    return F.aggregate(own, F.lit(0).cast("bigint"), lambda total, span: total + span["end"] - span["start"])
