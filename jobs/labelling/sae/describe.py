"""Verb `label sae describe`: what is each latent? Claude reads its contexts, or an export says it; then it is tested.

Contexts that the explainer did not see, among as many of other latents, test the explanation; the balanced accuracy is
its score, on which `select` acts. Writes `sae/descriptions.parquet` below the tables' root, a row for every latent that
has contexts; no Spark.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tokensieve.jobs.config.labelling import LabelConfig
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.labelling.claude.asker import Asker
from tokensieve.jobs.labelling.claude.fence import cap, clean
from tokensieve.jobs.labelling.claude.request import Request
from tokensieve.jobs.labelling.documents import write_table
from tokensieve.jobs.labelling.sae.explanations import (
    Description,
    Windows,
    detection_requests,
    detection_windows,
    score_by_windows,
)
from tokensieve.jobs.labelling.sae.groups import Entry, Group, ask_groups, grouped, requests
from tokensieve.jobs.labelling.sae.inputs import contexts_table
from tokensieve.jobs.labelling.sae.latent_contexts import CHARACTERS, HELD_OUT, Context, by_latent, held_out
from tokensieve.jobs.labelling.sae.latent_prompts import DESCRIBE, DETECT, LONGEST, describe
from tokensieve.jobs.labelling.sae.neuronpedia import read_export
from tokensieve.udfs.sae.contexts import read_contexts
from tokensieve.udfs.sae.slice import SaeError

DESCRIPTION_SCHEMA = pa.schema(
    [
        pa.field("latent_id", pa.int32()),
        pa.field("description", pa.string()),  # null: there is none, `note` says why
        pa.field("score", pa.float32()),  # balanced accuracy of telling its contexts from others; null: not tested
        pa.field("recall", pa.float32()),  # share of its own contexts that were found by the explanation
        pa.field("source", pa.string()),  # claude or neuronpedia
        pa.field("note", pa.string()),
    ]
)
_STAND_IN = "x" * 120  # a description of usual length, where a dry run has none yet


def run(config: LabelConfig) -> dict[str, Any]:
    """Describes and tests, then writes the table. Raises InputError without contexts or with a wrong export."""
    asker = Asker.of(config)
    latents = read_latents(config)
    export = asker.claude.latents.export
    explained = _exported(latents, read_export(export)) if export else None
    groups = [] if export else _explaining(asker, latents)
    windows = {latent: detection_windows(asker, latents, latent) for latent in latents}
    if asker.claude.dry_run:
        return _preview(asker, groups, windows, explained)
    found = explained or _explained(asker, groups)
    found = score_by_windows(asker, found, windows)
    file = _write(config, found, "neuronpedia" if export else "claude", asker.claude.model)
    floor = asker.claude.latents.quality_floor
    return {
        "table": str(file),
        "latents": len(latents),
        "described": sum(one.description is not None for one in found.values()),
        "tested": sum(one.score is not None for one in found.values()),
        "at_or_above_the_floor": sum(one.score is not None and one.score >= floor for one in found.values()),
    }


def read_latents(config: LabelConfig) -> dict[int, list[Context]]:
    """The contexts of each latent. Raises InputError when `stats` has not run, or found no latent active."""
    path = contexts_table(config).uri
    try:
        latents = by_latent(read_contexts(path))
    except SaeError as error:
        raise InputError(str(error)) from error
    if not latents:
        raise InputError(f"{path}: no latent was active anywhere; label another source, or export other latents")
    return latents


def _explaining(asker: Asker, latents: Mapping[int, Sequence[Context]]) -> list[Group]:
    settings = asker.claude.latents

    def render(part: Sequence[int]) -> Request:
        shown = [held_out(latents[latent], HELD_OUT)[1][: settings.contexts] for latent in part]
        return describe(asker.fence, [[one.marked(CHARACTERS) for one in some] for some in shown])

    return grouped([*latents], settings.per_request, render)


def _explained(asker: Asker, groups: Sequence[Group]) -> dict[int, Description]:
    said, missing = ask_groups(asker, groups, "features", _no_words)
    found = {latent: Description(description=cap(clean(one["description"]), LONGEST)) for latent, one in said.items()}
    return found | {latent: Description(description=None, note=why) for latent, why in missing.items()}


def _no_words(latent: int, entry: Entry) -> str | None:
    return None if clean(entry["description"]) else f"the description of feature {entry['number']} is empty"


def _exported(latents: Mapping[int, object], export: Mapping[int, str]) -> dict[int, Description]:
    if not set(latents) & set(export):
        raise InputError(
            "claude.latents.export describes none of the latents that have contexts; is it of the same SAE and layer?"
        )
    return {
        latent: Description(description=export.get(latent), note=None if latent in export else "not in the export")
        for latent in latents
    }


def _preview(
    asker: Asker, groups: Sequence[Group], windows: Mapping[int, Windows], exported: dict[int, Description] | None
) -> dict[str, Any]:
    known = {latent: one.description for latent, one in (exported or {}).items() if one.description is not None}
    said = known if exported is not None else dict.fromkeys(windows, _STAND_IN)
    remark = f"{DETECT} requests hold the descriptions: counted here as new ones, of {len(_STAND_IN)} letters each"
    asked = [*requests(groups), *detection_requests(asker, said, windows)]
    return asker.preview(asked, remarks=[] if exported is not None else [remark])


def _write(config: LabelConfig, found: Mapping[int, Description], source: str, model: str) -> Path:
    rows = [
        {
            **{"latent_id": latent, "description": one.description, "score": one.score, "recall": one.recall},
            **{"source": source, "note": one.note},
        }
        for latent, one in sorted(found.items())
    ]
    table = pa.Table.from_pylist(rows, DESCRIPTION_SCHEMA)
    table = table.replace_schema_metadata({"model": model, "prompts": f"{DESCRIBE} {DETECT}"})
    file = config.tables.folder / "sae" / "descriptions.parquet"
    write_table(file, table)
    return file
