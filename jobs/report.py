"""Verb `report`: tables and shards in, one self-contained HTML page out, `<tables.root>/report.html`.

The page is a function of what was written, so the same tables give the same bytes. Sample documents come from the
shards, that is from what training reads. Also an application: spark-submit jobs/report.py.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from tokensieve.jobs.config.corpus import Config
    from tokensieve.jobs.exporting.read_back import Shards
    from tokensieve.jobs.pages.corpus.facts import Facts, PolicyFacts, SampleDocument
    from tokensieve.jobs.policies.rules import RuleSet


FILE_NAME = "report.html"


def run(config: "Config", spark: "SparkSession") -> dict[str, Any]:
    """Writes the page and returns the counts that are on it.

    Raises InputError when a table is missing, BalanceError when documents were lost, ManifestError, CorruptShardError.
    """
    from tokensieve.jobs.pages.corpus.page import page

    facts = gather(config, spark)
    content = page(facts).encode()
    config.tables.store.write(FILE_NAME, content)
    return {
        "path": config.tables.store.uri(FILE_NAME),
        "bytes": len(content),
        "documents": facts.documents,
        "reasons": facts.quarantine,
        "forget_bytes": facts.total.forget_bytes,
        "classifier_tokens": {policy.name: int(policy.scores.tokens_B.sum()) for policy in facts.policies},
        "tokens": facts.export.tokens if facts.export else None,
        "loss_tokens": facts.export.loss_tokens if facts.export else None,
        "samples": len(facts.samples),
    }


def gather(config: "Config", spark: "SparkSession") -> "Facts":
    """Everything that the page says. Raises as `run` does."""
    from tokensieve.jobs.pages.corpus.facts import Facts
    from tokensieve.jobs.pages.corpus.gather import export_facts, source_facts, table_version
    from tokensieve.jobs.policies.masked_rows import counts
    from tokensieve.jobs.policies.rules import load_rules
    from tokensieve.jobs.scoring.quarantined_rows import reason_counts
    from tokensieve.jobs.tables.quarantine import read_quarantine
    from tokensieve.udfs.files.content_id import content_id

    tables = config.tables
    counted = counts(tables, spark)
    rules = load_rules(tables, counted["rule_id"])
    shards = _shards(config)
    named = [tables.table(name) for name in ("scores", "quarantine", "masked")]
    commits = [(table, table.commit()) for table in named]
    total, sources, files = source_facts(tables, spark, shards)
    return Facts(
        corpus=config.source.path,
        root=str(tables.root),
        config_id=content_id(config.model_dump(mode="json")),
        rule_id=counted["rule_id"],
        tables=tuple(table_version(table, commit) for table, commit in commits if commit),
        documents=counted["documents"],
        quarantine=reason_counts(read_quarantine(tables, spark)),
        policies=_policies(config, spark, rules),
        sources=sources,
        source_files=files,
        total=total,
        export=export_facts(shards, counted["batch"]) if shards else None,
        samples=_samples(config, spark, shards, list(rules.policies)),
    )


def _shards(config: "Config") -> "Shards | None":
    from tokensieve.jobs.exporting.read_back import Shards
    from tokensieve.pretrain.shards.manifest import FILE_NAME as MANIFEST

    return Shards(config.shards) if (config.shards / MANIFEST).is_file() else None


def _policies(config: "Config", spark: "SparkSession", rules: "RuleSet") -> "tuple[PolicyFacts, ...]":
    """The policies of the rule set in force. Raises ConfigError when the configuration has other ones."""
    from tokensieve.jobs.errors import ConfigError
    from tokensieve.jobs.pages.corpus.facts import PolicyFacts
    from tokensieve.jobs.pages.corpus.gather import score_counts
    from tokensieve.jobs.policies.definition import load_definition
    from tokensieve.jobs.policies.rules import load_bundle

    facts = []
    counts = score_counts(config.tables.table("scores").read(spark), list(rules.policies))
    for name, entry in rules.policies.items():
        policy = config.policies.get(name)
        definition = load_definition(policy.definition) if policy else None
        if policy is None or definition is None or definition.definition_id != entry.definition_id:
            raise ConfigError(
                f"policies.{name}: the masked table was made with another definition of it ({entry.definition_id}); "
                "run `tokensieve mask`, or report with the configuration that made the table"
            )
        bundle = load_bundle(name, policy)
        facts.append(
            PolicyFacts(name=name, definition=definition, bundle=bundle.spec.name, rule=entry, scores=counts[name])
        )
    return tuple(facts)


def _samples(
    config: "Config", spark: "SparkSession", shards: "Shards | None", policies: list[str]
) -> "tuple[SampleDocument, ...]":
    from tokensieve.jobs.pages.corpus.sample import choose, exported_sample, read_rows, table_sample

    scores: DataFrame = config.tables.table("scores").read(spark)
    masked: DataFrame = config.tables.table("masked").read(spark)
    ids = choose(masked, config.report.documents, config.report.seed)
    places = shards.places(spark, ids) if shards else {}
    limit = config.report.tokens_per_document
    return tuple(
        exported_sample(row, shards.read(places[row.doc_id]), shards, limit)
        if shards and row.doc_id in places
        else table_sample(row, limit)
        for row in read_rows(scores, masked, policies, config.source.columns.text, ids)
    )


if __name__ == "__main__":
    from tokensieve.jobs.command.application import application

    application("report")
