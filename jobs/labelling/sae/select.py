"""Verb `label sae select`: which latents belong to the policy? Writes `sae/selected.json` below the tables' root.

A latent is selected, rejected with the reason, or undecided with the reason: no answer is never taken for a no. A
description whose score is below `claude.latents.quality_floor` is rejected before anybody is asked. No Spark.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tokensieve.jobs.config.labelling import LabelConfig
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.labelling.claude.asker import Asker
from tokensieve.jobs.labelling.claude.canaries import latent_canaries
from tokensieve.jobs.labelling.claude.prompts import LATENT, LatentQuestion, is_forget, latents
from tokensieve.jobs.labelling.claude.request import Request
from tokensieve.jobs.labelling.documents import write_json
from tokensieve.jobs.labelling.sae.describe import read_latents
from tokensieve.jobs.labelling.sae.groups import Group, ask_groups, grouped, requests
from tokensieve.jobs.labelling.sae.inputs import contexts_table
from tokensieve.jobs.labelling.sae.latent_contexts import CHARACTERS, Context


def run(config: LabelConfig) -> dict[str, Any]:
    """Decides and writes. Raises InputError when `stats` or `describe` has not run."""
    asker = Asker.of(config)
    contexts = read_latents(config)
    described = _read_descriptions(config)
    good, rejected, undecided = _gated(described, asker.claude.latents.quality_floor)
    new = "not described: run `tokensieve label sae describe` again"
    undecided |= {latent: new for latent in contexts if latent not in described}
    groups = _asking(asker, good, contexts)
    canaries = latent_canaries(asker.policy, asker.fence)
    if asker.claude.dry_run:
        return asker.preview(requests(groups), canaries)
    said, missing = ask_groups(asker, groups, "latents", lambda latent, entry: None, canaries)
    chosen = {}
    for latent, entry in said.items():
        verdict = chosen if is_forget(asker.fence, {"answer": entry["answer"]}) else rejected
        verdict[latent] = entry["reason"]
    file = _write(config, asker, chosen, rejected, undecided | missing)
    counts = {"in": len(described.keys() | contexts.keys()), "selected": len(chosen), "rejected": len(rejected)}
    return {"file": str(file), "latents": counts | {"undecided": len(undecided | missing)}}


def _read_descriptions(config: LabelConfig) -> dict[int, dict[str, Any]]:
    file = config.tables.folder / "sae" / "descriptions.parquet"
    try:
        rows = pq.read_table(file).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{file} cannot be read ({error}); run `tokensieve label sae describe`") from error
    return {row["latent_id"]: row for row in rows}


def _gated(
    described: Mapping[int, dict[str, Any]], floor: float
) -> tuple[dict[int, str], dict[int, str], dict[int, str]]:
    """(description of those worth asking about, why rejected, why undecided), each by latent."""
    good, rejected, undecided = {}, {}, {}
    for latent, row in described.items():
        if row["description"] is None:
            undecided[latent] = f"no description: {row['note']}"
        elif row["score"] is None and floor > 0:
            undecided[latent] = f"no score: {row['note']}"
        elif row["score"] is not None and round(row["score"], 6) < floor:  # stored as float32: 0.9 is a little less
            rejected[latent] = f"the description's score {row['score']:.2f} is below the floor {floor}"
        else:
            good[latent] = row["description"]
    return good, rejected, undecided


def _asking(asker: Asker, good: Mapping[int, str], contexts: Mapping[int, Sequence[Context]]) -> list[Group]:
    settings = asker.claude.latents

    def render(part: Sequence[int]) -> Request:
        return latents(asker.policy, asker.fence, [_question(asker, good[one], contexts.get(one, ())) for one in part])

    return grouped([*good], settings.per_request, render)


def _question(asker: Asker, description: str, contexts: Sequence[Context]) -> LatentQuestion:
    settings = asker.claude.latents
    shown = tuple(one.marked(CHARACTERS) for one in contexts[: settings.contexts])
    return LatentQuestion(description=description, contexts=shown)


def _write(
    config: LabelConfig,
    asker: Asker,
    chosen: Mapping[int, str],
    rejected: Mapping[int, str],
    undecided: Mapping[int, str],
) -> Path:
    content = {
        "policy": asker.policy.name,
        "definition_id": asker.policy.definition_id,
        **_slice(config),
        "model": asker.claude.model,
        "prompt": LATENT,
        "quality_floor": asker.claude.latents.quality_floor,
        "latents": sorted(chosen),
        "reasons": _by_latent(chosen),
        "rejected": _by_latent(rejected),
        "undecided": _by_latent(undecided),
    }
    file = config.tables.folder / "sae" / "selected.json"
    write_json(file, content)
    return file


def _slice(config: LabelConfig) -> dict[str, str]:
    """The slice whose contexts were judged, as their commit names it."""
    commit = contexts_table(config).commit()
    found = None if commit is None else commit.inputs.get("slice_id")
    return {"slice_id": found} if isinstance(found, str) else {}


def _by_latent(reasons: Mapping[int, str]) -> dict[str, str]:
    return {str(latent): reasons[latent] for latent in sorted(reasons)}
