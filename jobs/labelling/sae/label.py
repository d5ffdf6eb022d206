"""Verb `label sae label`: what the chosen latents say of every token, as a label set of UTF-8 byte spans.

Thresholds come from the table `sae/stats`, which must be of the same slice and the same model.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tokensieve.jobs.config.labelling import LabelConfig, section
from tokensieve.jobs.config.sae import SaeConfig
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.labelling.label_set import in_arrow, label_batch, label_frame, label_table, read_labels
from tokensieve.jobs.labelling.sae.chosen import chosen_latents, vote_weights
from tokensieve.jobs.labelling.sae.inputs import latent_settings, load_slice, stats_table
from tokensieve.udfs.labels.labels import label_rows
from tokensieve.udfs.sae.slice import SaeError, SaeSlice
from tokensieve.udfs.sae.statistics import Statistics

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from tokensieve.udfs.sae.latents import LatentSettings
    from tokensieve.udfs.sae.seeds import SeedRule

# What decides how labels follow from activations; the rest of the section says how activations are computed.
_RULE_KEYS = {"rule", "k", "min_latents", "propagate", "cross_check", "dtype", "attention", "window", "margin"}


def run(config: LabelConfig, spark: "SparkSession") -> dict[str, Any]:
    """Writes the label set and returns the counts.

    Raises InputError: no slice, statistics or latents, or those of another slice, model or policy; BalanceError.
    """
    from tokensieve.udfs.sae.label_texts import LabelPlan, label_texts

    sae = section(config, "sae", SaeConfig)
    kept = load_slice(config, sae)
    latents, origin = chosen_latents(config, sae, kept)
    settings = latent_settings(config, sae, kept, latents)
    statistics = _statistics(config, spark, kept, settings)
    rule = seed_rule(sae, statistics, latents)
    label = partial(label_rows, partial(label_texts, LabelPlan(latents=settings, rule=rule)))
    result = label_frame(
        config, spark, sae.output, _labelled(config, spark, sae, label), _settings(config, spark, sae, settings, rule)
    )
    voting = int((statistics.where(latents).max_K > rule.threshold_K).sum())
    result |= {"latents": len(latents), "voting_latents": voting, "latents_from": origin}
    if sae.cross_check is not None:
        result["not_cross_checked"] = _not_in(config, spark, sae.output, sae.cross_check)
    return result


def seed_rule(sae: SaeConfig, statistics: Statistics, latents: tuple[int, ...]) -> "SeedRule":
    """The rule of the section for these latents. Raises InputError: no statistics, no weight, too few votes."""
    from tokensieve.udfs.sae.seeds import SeedRule

    try:
        threshold_K = statistics.where(latents).thresholds(sae.rule, sae.k)
    except SaeError as error:
        raise InputError(str(error)) from error
    if sae.votes is None:
        weight_K, votes = np.ones(len(latents)), float(sae.min_latents)
    else:
        weight_K, votes = vote_weights(sae.votes.weights, latents), sae.votes.needed
    known_K = np.isfinite(threshold_K)
    if weight_K[known_K].sum() < votes:
        raise InputError(
            f"the latents' votes come to {weight_K[known_K].sum():g} in all, a seed needs {votes:g}: nothing could be "
            f"labelled ({int((~known_K).sum())} of {len(latents)} latents never fired in the statistics and have no "
            "vote); choose more latents, or ask for less"
        )
    return SeedRule(threshold_K=threshold_K, weight_K=weight_K, votes=votes, propagate=sae.propagate)


def _statistics(config: LabelConfig, spark: "SparkSession", kept: SaeSlice, settings: "LatentSettings") -> Statistics:
    table = stats_table(config)
    commit = table.commit()
    if commit is None:
        raise InputError(f"{table.uri}: no statistics, so no thresholds; run `tokensieve label sae stats`")
    if commit.inputs.get("slice_id") != kept.slice_id:
        raise InputError(
            f"{table.uri}: statistics of slice {commit.inputs.get('slice_id')}, but the slice is {kept.slice_id}; run "
            "`tokensieve label sae stats` again, or point sae.slice at the slice that they are of"
        )
    if commit.inputs.get("model_id") != settings.model.identity:
        raise InputError(
            f"{table.uri}: statistics of the model {commit.inputs.get('model')} ({commit.inputs.get('model_id')}), "
            f"but sae.model is {settings.model.identity}; run `tokensieve label sae stats` again"
        )
    return Statistics.from_arrow(table.read(spark).toArrow())


def _labelled(config: LabelConfig, spark: "SparkSession", sae: SaeConfig, label: Any) -> Any:
    """The transformation of the source's documents into labels, held against another set where that is asked for."""
    if sae.cross_check is None:
        return lambda frame: in_arrow(frame, label)
    from pyspark.sql import functions as F

    from tokensieve.udfs.sae.cross_check import OTHER, cross_check

    name = sae.cross_check
    other = read_labels(config, spark, name).select(
        "doc_id", *(F.col(key).alias(value) for key, value in OTHER.items())
    )

    def checked(frame: "DataFrame") -> "DataFrame":
        return in_arrow(in_arrow(frame, label).join(other, "doc_id", "left"), partial(cross_check, name))

    return checked


def _settings(
    config: LabelConfig, spark: "SparkSession", sae: SaeConfig, settings: "LatentSettings", rule: "SeedRule"
) -> dict[str, Any]:
    """All that the labels follow from besides source and policy."""
    return {
        "slice_id": settings.slice_id,
        "model_id": settings.model.identity,
        "latents": list(settings.latents or ()),
        "thresholds": [float(value) if np.isfinite(value) else None for value in rule.threshold_K],
        "weights": rule.weight_K.tolist(),
        "votes": rule.votes,
        "rule": sae.model_dump(mode="json", include=_RULE_KEYS),
        "cross_check_batch": label_batch(config, spark, sae.cross_check) if sae.cross_check else None,
    }


def _not_in(config: LabelConfig, spark: "SparkSession", name: str, other: str) -> int:
    """Documents that the other label set lacks, whose labels stand as they are."""
    ours, theirs = (label_table(config, one).read(spark).select("doc_id") for one in (name, other))
    return ours.join(theirs, "doc_id", "left_anti").count()
