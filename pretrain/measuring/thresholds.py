"""Chosen thresholds as a bundle records them: value, goal, what it achieves, and on which documents.

The documents stand in the bundle's file `calibration.json` as content keys, so that whoever holds the bundle can tell
whether a document was among them; the price is 19 bytes a document.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tokensieve.pretrain.measuring.goals import Chosen, Name
from tokensieve.pretrain.measuring.histograms import Histograms
from tokensieve.pretrain.measuring.leaks import Seen
from tokensieve.pretrain.measuring.measure import Measured
from tokensieve.pretrain.measuring.schema import MODEL, BundleFacts, Unit
from tokensieve.udfs.bundles.bundle import Bundle
from tokensieve.udfs.bundles.bundle_spec import BundleDraft, CalibrationData, Cascade, Threshold
from tokensieve.udfs.scores.stored_scores import grid_threshold

KEYS_FILE = "calibration.json"
USED_FOR = "choose its thresholds"
UNITS: tuple[Unit, Unit] = ("token", "document")


@dataclass(frozen=True, kw_only=True)
class CalibrationDocuments:
    """The documents that thresholds were chosen on: content keys uint64 [K], and what a bundle says of them."""

    keys_K: np.ndarray
    data: CalibrationData

    @classmethod
    def of(cls, measured: Measured, labels: str) -> "CalibrationDocuments":
        """The measured documents, judged by the label set `labels`, or by `coarse` labels."""
        counts = {unit: measured.counts[unit][MODEL] for unit in UNITS}
        shares = {unit: _prevalence(one) for unit, one in counts.items()}
        tokens = counts["token"]
        data = CalibrationData(
            labels=labels,
            documents=len(measured),
            tokens=int(tokens.positive_DQ.sum() + tokens.negative_DQ.sum() + tokens.unknown_DQ.sum()),
            sha256=_keys_sha256(measured.keys_D),
            prevalence={unit: round(share, 6) for unit, share in shares.items() if share is not None},
        )
        return cls(keys_K=measured.keys_D, data=data)

    @property
    def name(self) -> str:
        """16 hex digits that name the set of documents."""
        return self.data.sha256[:16]


def threshold_records(chosen: Mapping[Name, Chosen], documents: CalibrationDocuments) -> dict[Unit, Threshold]:
    """What `bundle.json` says of the thresholds of tokens and documents."""
    return {
        unit: Threshold(
            value=chosen[unit].threshold,
            how=_how(chosen[unit], documents),
            goal=str(chosen[unit].goal),
            split=documents.name,
        )
        for unit in UNITS
        if unit in chosen
    }


def cascade_record(chosen: Mapping[Name, Chosen], documents: CalibrationDocuments) -> Cascade | None:
    """What `bundle.json` says of the cascade; None where it was not chosen."""
    one = chosen.get("cascade")
    if one is None:
        return None
    how = _how(one, documents)
    return Cascade(document_threshold=one.threshold, how=how, goal=str(one.goal), split=documents.name)


def achieved_metrics(chosen: Mapping[Name, Chosen]) -> dict[str, float]:
    """What the thresholds achieve on the documents that they were chosen on, by flat names for bundle.json."""
    return {
        f"calibration.{name}.{figure}": round(value, 4)
        for name, one in chosen.items()
        for figure, value in one.achieved.items()
    }


def bundle_facts(bundle: Bundle) -> BundleFacts:
    """What a report says of a bundle."""
    said = {str(unit): (one.value, one.how) for unit, one in bundle.spec.thresholds.items()}
    if bundle.spec.cascade is not None:
        said["cascade"] = (bundle.spec.cascade.document_threshold, bundle.spec.cascade.how)
    return BundleFacts(
        name=bundle.spec.name,
        policy=bundle.spec.policy,
        bundle_id=bundle.bundle_id,
        encoder_id=bundle.encoder_id,
        thresholds=said,
    )


def bundle_levels(spec: BundleDraft) -> dict[Unit, int]:
    """The grid levels of a bundle's thresholds by unit; a unit for which it has none is marked from one half on."""
    values = {unit: one.value for unit, one in spec.thresholds.items()}
    levels: dict[Unit, int] = {unit: grid_threshold(values.get(unit, 0.5)) for unit in UNITS}
    return levels


def calibration_seen(bundle: Bundle) -> list[Seen]:
    """The documents that the bundle's thresholds were chosen on; none where it does not say."""
    return [Seen(what=USED_FOR, keys_K=keys_K) for keys_K in read_keys(bundle).values()]


def read_keys(bundle: Bundle) -> dict[str, np.ndarray]:
    """The content keys in `calibration.json`, uint64 [K], by the names of the sets of documents."""
    if KEYS_FILE not in bundle.spec.files:
        return {}
    sets = json.loads((bundle.path / KEYS_FILE).read_text(encoding="utf-8"))
    return {name: np.array([int(key, 16) for key in keys], dtype=np.uint64) for name, keys in sets.items()}


def keys_content(sets: Mapping[str, np.ndarray]) -> bytes:
    """`calibration.json`: by the name of each set of documents its keys, 16 hex digits each, sorted."""
    return (json.dumps({name: _hex(keys_K) for name, keys_K in sorted(sets.items())}, indent=0) + "\n").encode()


def _how(one: Chosen, documents: CalibrationDocuments) -> str:
    achieved = ", ".join(f"{name} {value:.4f}" for name, value in one.achieved.items())
    return f"{one.goal}, on {documents.data.documents:,} calibration documents ({documents.data.labels}): {achieved}"


def _prevalence(counts: Histograms) -> float | None:
    positive_Q, negative_Q = counts.pooled
    known = float(positive_Q.sum() + negative_Q.sum())
    return float(positive_Q.sum()) / known if known else None


def _keys_sha256(keys_K: np.ndarray) -> str:
    return hashlib.sha256("\n".join(_hex(keys_K)).encode()).hexdigest()


def _hex(keys_K: np.ndarray) -> list[str]:
    return [f"{key:016x}" for key in np.unique(keys_K).tolist()]
