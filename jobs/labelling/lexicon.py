"""Verb `label lexicon`: words that the policy's documents use more than others become spans.

Word counts are a Spark aggregate; the log-odds are a JSON file below `tables.root/lexicon`, named by its content, that
executors read. Labels that need no model, to start from and to beat: a word has one label wherever it stands.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tokensieve.jobs.config.labelling import LexiconConfig
from tokensieve.jobs.errors import ConfigError, InputError
from tokensieve.jobs.labelling.documents import documents
from tokensieve.jobs.labelling.label_set import label_batch, label_source, read_labels
from tokensieve.jobs.policies.definition import load_definition
from tokensieve.jobs.source.scan import spark_schema
from tokensieve.pretrain.hashed_file import replace_file
from tokensieve.udfs.labels.labels import label_rows
from tokensieve.udfs.labels.lexicon import COUNT_SCHEMA, count_words, log_odds
from tokensieve.udfs.labels.lexicon_file import LEVELS_L, SHARE_SCHEMA, LexiconLabeller, StoredLexicon, read_lexicon

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

    from tokensieve.jobs.config.labelling import LabelConfig


def run(config: "LabelConfig", spark: "SparkSession") -> dict[str, Any]:
    """Learns or reads a lexicon, labels the source, returns the counts.

    Raises ConfigError, InputError, BalanceError, LabelError.
    """
    from tokensieve.jobs.config.labelling import section

    lexicon = section(config, "lexicon", LexiconConfig)
    path = Path(lexicon.file).absolute() if lexicon.file is not None else _learn(config, spark, lexicon)
    stored = _of_this_policy(config, path)
    labeller = LexiconLabeller(
        path=str(path),
        lexicon_id=stored.lexicon_id,
        smooth=lexicon.smooth,
        bridge=lexicon.bridge,
        threshold=lexicon.threshold or 0.0,
    )
    if lexicon.target_share is not None:
        labeller = _at_share(config, spark, labeller, lexicon.target_share)
    settings: dict[str, Any] = {
        "lexicon_id": stored.lexicon_id,
        "threshold": labeller.threshold,
        "smooth": lexicon.smooth,
        "bridge": lexicon.bridge,
    }
    result = label_source(config, spark, lexicon.name, partial(label_rows, labeller.label), settings)
    return {**result, "lexicon": str(path), "words": len(stored.log_odds), "threshold": labeller.threshold}


def _of_this_policy(config: "LabelConfig", path: Path) -> StoredLexicon:
    stored, definition = read_lexicon(str(path)), load_definition(config.policy)
    if stored.definition_id != definition.definition_id:
        raise InputError(
            f"lexicon.file: {path} is for policy {stored.policy} ({stored.definition_id}), but this project's policy "
            f"is {definition.name} ({definition.definition_id}); leave the key out to learn one"
        )
    return stored


def _learn(config: "LabelConfig", spark: "SparkSession", lexicon: LexiconConfig) -> Path:
    """Learns log-odds from documents with a known label and writes their file. Raises InputError."""
    labels = read_labels(config, spark, lexicon.label_set).where("document is not null")
    forget = labels.where("document >= 0.5").count()
    retain = labels.count() - forget
    if not forget or not retain:
        raise InputError(
            f"lexicon.label_set: a lexicon needs documents of both kinds, but {lexicon.label_set} labels {forget} as "
            f"forget and {retain} as retain"
        )
    words, total_2, vocabulary = _counted(config, spark, labels, lexicon)
    count_W2 = np.array([[row["other"], row["positive"]] for row in words], dtype=np.int64).reshape(-1, 2)
    odds_W = np.round(log_odds(count_W2, total_2, vocabulary, lexicon.alpha), 4)
    definition = load_definition(config.policy)
    stored = StoredLexicon(
        policy=definition.name,
        definition_id=definition.definition_id,
        label_set=lexicon.label_set,
        label_batch=label_batch(config, spark, lexicon.label_set) or "",
        forget_documents=forget,
        retain_documents=retain,
        alpha=lexicon.alpha,
        min_count=lexicon.min_count,
        log_odds=dict(zip((row["word"] for row in words), odds_W.tolist())),
    )
    path = config.tables.folder / "lexicon" / f"{stored.lexicon_id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, stored.content())
    return path


def _counted(
    config: "LabelConfig", spark: "SparkSession", labels: "DataFrame", lexicon: LexiconConfig
) -> "tuple[list[Row], np.ndarray, int]":
    """The kept words' counts, the counts of all words in other and positive documents, the number of words."""
    from pyspark.sql import functions as F

    labels = labels.select("doc_id", F.col("document").alias("label"), F.col("text_hash").alias("label_hash"))
    with documents(config.source, spark) as source:
        labelled = source.frame.where("note is null").join(labels, "doc_id")
        partial_counts = labelled.mapInArrow(partial(count_words, lexicon.label_set), schema=spark_schema(COUNT_SCHEMA))
        sums = F.sum("other").alias("other"), F.sum("positive").alias("positive")
        counts = partial_counts.groupBy("word").agg(*sums).persist()
        try:
            row = counts.agg(*sums, F.count("*").alias("n")).first()
            often = F.col("other") + F.col("positive")
            kept = counts.where(often >= lexicon.min_count).orderBy(often.desc(), "word")
            words = kept.limit(lexicon.max_words).collect()
        finally:
            counts.unpersist()
    if row is None or not words:
        raise InputError(f"lexicon.min_count: no word stands {lexicon.min_count} times in the labelled documents")
    return words, np.array([row["other"], row["positive"]]), row["n"]


def _at_share(config: "LabelConfig", spark: "SparkSession", labeller: LexiconLabeller, share: float) -> LexiconLabeller:
    """The labeller with the lowest threshold that labels at most `share` of the source's bytes."""
    from dataclasses import replace

    from pyspark.sql import functions as F

    with documents(config.source, spark) as source:
        rows = source.frame.where("note is null").mapInArrow(labeller.shares, schema=spark_schema(SHARE_SCHEMA))
        found = rows.groupBy("level").agg(F.sum("forget").alias("forget"), F.sum("total").alias("total")).collect()
    fits = [row["level"] for row in found if row["forget"] <= share * row["total"]]
    if not fits:
        raise ConfigError(
            f"lexicon.target_share: even log-odds {LEVELS_L[-1]} label more than {share}; give a threshold"
        )
    return replace(labeller, threshold=round(float(LEVELS_L[min(fits)]), 1))
