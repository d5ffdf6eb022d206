"""What an export reads: one version of the masked table, by source file, with the scores where they are asked for."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.errors import ConfigError, InputError
from tokensieve.jobs.exporting.groups import ALL, Sources
from tokensieve.jobs.exporting.layout import MEMBER
from tokensieve.jobs.exporting.shard_task import DOC_SCORE
from tokensieve.jobs.policies.masked_rows import decided
from tokensieve.jobs.policies.rules import RuleSet, load_rules
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.jobs.tables.ledger import Ledger
from tokensieve.jobs.tables.table import Commit
from tokensieve.pretrain.shards.groups import Member
from tokensieve.udfs.deciding.pretrain_tokens import ScoreCompanion

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True, kw_only=True)
class Documents:
    """The documents of a version of the masked table that are not dropped.

    Attributes:
        sources: the source files that the version has rows of, as its ledger knows them.
        companion: whose scores go along, and what the other policies forget beside them; None: no scores.
    """

    tables: TablesConfig
    spark: "SparkSession"
    masked: Commit
    rules: RuleSet
    sources: Sources
    companion: ScoreCompanion | None

    @classmethod
    def of(
        cls,
        tables: TablesConfig,
        spark: "SparkSession",
        masked: Commit,
        scores: str | None,
        rules: RuleSet | None = None,
    ) -> "Documents":
        """`scores`: the policy whose scores go along. `rules`: at hand already, used where they are the table's.

        Raises ConfigError, InputError.
        """
        rule_id = str(masked.inputs["rule_id"])
        if rules is None or rules.rule_id != rule_id:
            rules = load_rules(tables, rule_id)
        return cls(
            tables=tables,
            spark=spark,
            masked=masked,
            rules=rules,
            sources=_members(tables, masked),
            companion=_companion(scores, rules),
        )

    @property
    def hiding(self) -> frozenset[str]:
        """Policies whose spans are replaced by the hidden token."""
        return frozenset(name for name, entry in self.rules.policies.items() if entry.rule.action == "hide")

    def to_measure(self, sources: Collection[str]) -> "DataFrame":
        """The rows of these source files, with MEMBER."""
        return self._rows("masked", self.masked.version, sources)

    def to_write(self, sources: Collection[str]) -> "DataFrame":
        """What the tasks need of the rows of these source files, and MEMBER.

        The masked table holds no token scores. Where they are asked for, its rows are made again from the version of
        the scores table that it was made from, so that the text is moved once and nothing is joined.
        """
        columns = [MEMBER, "doc_id", "text", "forget_spans", "source_file", "source_row"]
        if self.companion is None:
            rows = self._rows("masked", self.masked.version, sources)
        else:
            rows = self._rows("scores", scores_commit(self.tables, self.masked).version, sources)
            columns += [self.companion.policy, *self.companion.others]
        return rows.select(*columns, *(DOC_SCORE + name for name in self.rules.policies))

    def _rows(self, table: str, version: int | None, sources: Collection[str]) -> "DataFrame":
        from pyspark.sql import functions as F

        some = None if len(sources) == len(self.sources) or ALL in sources else sources
        rows = self.tables.table(table).read(self.spark, version, some)
        if table == "scores":
            columns: Any = scores_commit(self.tables, self.masked).inputs["columns"]
            rows = decided(rows, self.rules, columns["text"])
        member = F.lit(ALL) if ALL in self.sources else F.col("source_file")
        return rows.where("action != 'drop'").withColumn(MEMBER, member)


def _members(tables: TablesConfig, masked: Commit) -> Sources:
    ledger = Ledger.of(tables.store, masked)
    if ledger is None:
        return {ALL: Member(version=masked.batch, written=0)}
    return {name: Member(version=one.version, written=one.written) for name, one in ledger.sources.items()}


def _companion(scores: str | None, rules: RuleSet) -> ScoreCompanion | None:
    if scores is None:
        return None
    if scores not in rules.policies:
        raise ConfigError(f"export.scores: no policy {scores!r}, only {', '.join(rules.policies)}")
    if rules.policies[scores].rule.action == "hide":
        raise ConfigError(
            f"export.scores: policy {scores} hides, and ids that are hidden in the shards cannot come back at a "
            "higher threshold; set its rule's action to mask and choose pretrain.filter.mode=hide"
        )
    others = {name: (entry.in_force, entry.threshold) for name, entry in rules.policies.items() if name != scores}
    return ScoreCompanion(policy=scores, others=others)


def scores_commit(tables: TablesConfig, masked: Commit) -> Commit:
    """The newest version of `scores` with the rows that a version of `masked` was made from; compaction makes others.

    Raises InputError where it was vacuumed.
    """
    table = tables.table("scores")
    made_from = (masked.inputs["scores"], masked.ledger)
    for version in reversed(table.versions()):
        commit = table.commit(version)
        if commit is not None and (commit.batch, commit.ledger) == made_from:
            return commit
    raise InputError(
        f"{table.uri}: no version is left that version {masked.version} of the masked table was made from, so its "
        "scores cannot be exported; run `tokensieve mask` on those that stand there"
    )
