"""Verb `calibrate`: a bundle, labelled documents and goals in; the same classifier with other thresholds out.

Weights and encoder stay, so policies that share its pass still do. The new bundle says what each threshold was to
achieve, what it achieves, and on which documents, on which no report will then be made.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tokensieve.jobs.policies.bundles import ComputeConfig, definition_id, input_errors, open_bundle
from tokensieve.pretrain.measuring.goals import Goal, Name
from tokensieve.pretrain.measuring.sets import LabelledSource


class CalibrateConfig(BaseModel):
    """What to calibrate.

    Attributes:
        bundle: a folder, or the name of an installed bundle. out: the folder of the new one; name: its name, None
            for the folder's.
        sources: documents with labels, on which the classifier was not trained.
        goals: by threshold: token, document, or cascade, below which document probability tokens are not looked at.
        definition: a policy file or name; label sets must then be of this policy. None: unchecked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle: str
    out: Path
    name: str | None = None
    sources: list[LabelledSource] = Field(min_length=1)
    goals: dict[Name, Goal] = Field(min_length=1)
    definition: str | None = None
    compute: ComputeConfig = ComputeConfig()


def run(config: CalibrateConfig) -> dict[str, Any]:
    """Writes the bundle `config.out`; returns its id, and each threshold with what it achieves.

    Raises InputError: a file, a bundle or labels are not as configured, or a goal cannot be met on these documents.
    """
    from tokensieve.pretrain.measuring.calibrate import choose_thresholds
    from tokensieve.pretrain.measuring.measure import measure
    from tokensieve.pretrain.measuring.reissue import reissue
    from tokensieve.pretrain.measuring.sets import chunks
    from tokensieve.pretrain.measuring.thresholds import CalibrationDocuments

    with input_errors():
        bundle, model = open_bundle(config.bundle, config.compute)
        parts = chunks(config.sources, definition_id(config.definition))
        measured = measure("calibration", parts, model, {})
        chosen = choose_thresholds(measured, config.goals)
        documents = CalibrationDocuments.of(measured, _labels(config))
        made = reissue(bundle, config.out, config.name or config.out.name, chosen, documents)
    result: dict[str, Any] = {
        "bundle": str(made.path),
        "bundle_id": made.bundle_id,
        "encoder_id": made.encoder_id,
        "documents": len(measured),
        "left_out": measured.left_out,
    }
    return result | {name: {"threshold": one.threshold, **one.achieved} for name, one in chosen.items()}


def _labels(config: CalibrateConfig) -> str:
    """What the documents are judged by, in words."""
    kinds = [
        f"label set {source.label_set.name}" if source.label_set else "human spans" if source.spans else "coarse"
        for source in config.sources
    ]
    return ", ".join(dict.fromkeys(kinds))
