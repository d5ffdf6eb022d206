"""Verb `label sae stats`: one pass of the model over the source, tables `sae/stats` and `sae/contexts` out.

Every task sums what it sees and keeps its best contexts (udfs/sae/collect.py); the pass is persisted, merged in the
order of the tasks' content and published. Done already for the same slice, model and source: nothing runs.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tokensieve.jobs.config.labelling import LabelConfig, section
from tokensieve.jobs.config.sae import SaeConfig
from tokensieve.jobs.errors import BalanceError, InputError
from tokensieve.jobs.labelling.documents import Documents, documents
from tokensieve.jobs.labelling.sae.inputs import contexts_table, latent_settings, load_slice, stats_table
from tokensieve.jobs.source.scan import spark_schema
from tokensieve.jobs.tables.table import Commit, Table
from tokensieve.udfs.files.content_id import content_id
from tokensieve.udfs.sae.contexts import CONTEXT_SCHEMA, ContextSettings
from tokensieve.udfs.sae.slice import SaeSlice
from tokensieve.udfs.sae.statistics import STATISTICS_SCHEMA

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from tokensieve.udfs.sae.latents import LatentSettings


def run(config: LabelConfig, spark: "SparkSession") -> dict[str, Any]:
    """Writes both tables and returns the counts. Raises InputError, BalanceError."""
    sae = section(config, "sae", SaeConfig)
    kept = load_slice(config, sae)
    settings = latent_settings(config, sae, kept, latents=None)
    with documents(config.source, spark) as source:
        wanted = _commit(sae, kept, settings, source)
        if not all(_is(table, wanted, spark) for table in (stats_table(config), contexts_table(config))):
            _write(config, spark, source, _collector(sae, settings), wanted)
    return _counts(stats_table(config), contexts_table(config), spark)


def _collector(sae: SaeConfig, settings: "LatentSettings") -> Any:
    from tokensieve.udfs.sae.collect import collect

    return partial(collect, settings, ContextSettings(limit=sae.contexts, reach=sae.context_bytes))


def _write(config: LabelConfig, spark: "SparkSession", source: Documents, collector: Any, wanted: Commit) -> None:
    from pyspark import StorageLevel

    from tokensieve.udfs.sae.collect import PASS_SCHEMA

    sae = section(config, "sae", SaeConfig)
    found = source.frame.mapInArrow(collector, schema=spark_schema(PASS_SCHEMA)).persist(StorageLevel.DISK_ONLY)
    try:
        counts = _balanced(found, source.count, stats_table(config))
        commit = wanted.model_copy(update={"counts": counts})
        merged = _merged(found, load_slice(config, sae))
        contexts, stats = contexts_table(config), stats_table(config)
        contexts.replace(_best(found, sae.contexts), commit)
        stats.replace(spark.createDataFrame(merged), commit)
        contexts.forget_old()
        stats.forget_old()
    finally:
        found.unpersist()


def _balanced(found: "DataFrame", expected: int, table: Table) -> dict[str, int]:
    """Counts over all tasks. Raises BalanceError when documents were lost, InputError when no token was read."""
    from pyspark.sql import functions as F

    row = found.agg(
        *(F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in ("documents", "noted", "tokens"))
    ).first()
    assert row is not None
    if row["documents"] != expected:
        raise BalanceError(f"{table.uri}: {expected} documents listed, {row['documents']} read; nothing was published")
    if not row["tokens"]:
        raise InputError(f"source: none of its {expected} documents gave a token ({row['noted']} could not be read)")
    return {"in": expected, "noted": row["noted"], "tokens": row["tokens"]}


def _merged(found: "DataFrame", kept: SaeSlice) -> pa.Table:
    """One row a latent. Sums of floats depend on their order, so the order is the content's."""
    from tokensieve.udfs.sae.collect import PART_SCHEMA, merge_parts

    parts = found.where("part is not null").select(*PART_SCHEMA.names).repartition(1).sortWithinPartitions("part")
    merge = partial(merge_parts, tuple(kept.latent_id_K.tolist()))
    return parts.mapInArrow(merge, schema=spark_schema(STATISTICS_SCHEMA)).toArrow().cast(STATISTICS_SCHEMA)


def _best(found: "DataFrame", limit: int) -> "DataFrame":
    """The contexts of all tasks, ranked per latent in the order of `udfs.sae.contexts.best`."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    order = Window.partitionBy("latent_id").orderBy(F.desc("activation"), "doc_id", "at")
    ranked = found.where("latent_id is not null").withColumn("rank", (F.row_number().over(order) - 1).cast("int"))
    return ranked.where(F.col("rank") < limit).select(*CONTEXT_SCHEMA.names)


def _commit(sae: SaeConfig, kept: SaeSlice, settings: "LatentSettings", source: Documents) -> Commit:
    inputs: dict[str, Any] = {
        "slice_id": kept.slice_id,
        "model": sae.model,
        "model_id": settings.model.identity,
        "source": source.versions,
        "settings": sae.model_dump(mode="json", include={"dtype", "attention", "window", "margin"}),
        "contexts": [sae.contexts, sae.context_bytes],
    }
    # A folder is named by what is in it, wherever it lies.
    return Commit(batch=content_id({**inputs, "model": None}), inputs=inputs)


def _is(table: Table, wanted: Commit, spark: "SparkSession") -> bool:
    commit = table.commit()
    return commit is not None and commit.batch == wanted.batch


def _counts(stats: Table, contexts: Table, spark: "SparkSession") -> dict[str, Any]:
    commit = stats.commit()
    assert commit is not None
    latents = stats.read(spark)
    return {
        "table": stats.uri,
        "slice_id": str(commit.inputs["slice_id"]),
        "documents": {"in": commit.counts["in"], "noted": commit.counts["noted"]},
        "tokens": commit.counts["tokens"],
        "latents": latents.count(),
        "silent_latents": latents.where("nonzero = 0").count(),
        "contexts": contexts.read(spark).count(),
    }
