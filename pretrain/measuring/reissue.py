"""The same classifier as a new bundle with other thresholds: weights, tokenizer and encoder id stay, the bundle id not.

Figures of the old bundle that depend on a threshold are left out of the new one, since they would be wrong there; its
card is kept below a paragraph that says so.
"""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tokensieve.pretrain.measuring.goals import Chosen, Name
from tokensieve.pretrain.measuring.thresholds import (
    KEYS_FILE,
    CalibrationDocuments,
    achieved_metrics,
    cascade_record,
    keys_content,
    read_keys,
    threshold_records,
)
from tokensieve.udfs.bundles.bundle import CARD, SPEC, Bundle
from tokensieve.udfs.bundles.bundle_spec import BundleSpec
from tokensieve.udfs.files.hashed_folder import new_folder

_AT_THRESHOLD = ("recall", "f1", "precision")  # last parts of the names of figures that a threshold decides


def reissue(
    bundle: Bundle, folder: Path, name: str, chosen: Mapping[Name, Chosen], documents: CalibrationDocuments
) -> Bundle:
    """Writes the bundle with these thresholds in place of its own of the same names; its others stay.

    Raises ValidationError when `name` is not one that a bundle can have, BundleError when the result does not load.
    """
    spec, said = bundle.spec, threshold_records(chosen, documents)
    thresholds, cascade = {**spec.thresholds, **said}, cascade_record(chosen, documents) or spec.cascade
    changes: dict[str, Any] = {
        "name": name,
        "thresholds": thresholds,
        "cascade": cascade,
        "calibration": documents.data,
        "metrics": _still_true(spec.metrics, chosen) | achieved_metrics(chosen),
    }
    splits = {one.split for one in [*thresholds.values(), *([cascade] if cascade else [])]}
    keys = {split: keys_K for split, keys_K in read_keys(bundle).items() if split in splits}
    return _write(bundle, folder, changes, keys | {documents.name: documents.keys_K}, _note(bundle, chosen))


def record_documents(bundle: Bundle, documents: CalibrationDocuments) -> Bundle:
    """Adds the calibration documents to a bundle that was just saved, in its place."""
    return _write(bundle, bundle.path, {"calibration": documents.data}, {documents.name: documents.keys_K}, "")


def _write(
    bundle: Bundle, folder: Path, changes: Mapping[str, Any], keys: Mapping[str, np.ndarray], note: str
) -> Bundle:
    """The files that the bundle names, `calibration.json`, and a changed bundle.json."""
    content = keys_content(keys)
    with new_folder(folder) as made:
        for file in {*bundle.spec.files, bundle.spec.tokenizer.file} - {KEYS_FILE}:
            shutil.copyfile(bundle.path / file, made / file)
        card = bundle.path / CARD
        (made / CARD).write_text(note + (card.read_text(encoding="utf-8") if card.is_file() else ""), encoding="utf-8")
        (made / KEYS_FILE).write_bytes(content)
        files = {**bundle.spec.files, KEYS_FILE: hashlib.sha256(content).hexdigest()}
        spec = BundleSpec.model_validate({**dict(bundle.spec), **changes, "files": files})
        (made / SPEC).write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return Bundle.load(folder)


def _still_true(metrics: Mapping[str, float], chosen: Mapping[Name, Chosen]) -> dict[str, float]:
    """The figures that no threshold decides, and what thresholds that stay achieved on their documents."""
    kept = {}
    for key, value in metrics.items():
        first, second, *_ = [*key.split("."), ""]
        stays = second not in chosen if first == "calibration" else key.rsplit(".", 1)[-1] not in _AT_THRESHOLD
        if stays:
            kept[key] = value
    return kept


def _note(bundle: Bundle, chosen: Mapping[Name, Chosen]) -> str:
    values = ", ".join(f"{name} {one.threshold:.4f} ({one.goal})" for name, one in chosen.items())
    return (
        f"> The classifier of bundle {bundle.spec.name} `{bundle.bundle_id}` with other thresholds: {values}. What "
        "stands below is the\n> card of that bundle; figures at a threshold are those of its own.\n\n"
    )
