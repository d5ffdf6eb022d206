"""A release, its report and the refresh that made it, as literal values with hostile names in them."""

from datetime import UTC, datetime
from typing import Any

from tokensieve.jobs.config.refresh import DriftConfig
from tokensieve.jobs.refreshing.drift import compare, judge
from tokensieve.jobs.releases.refresh_run import DeviceUse, Gate, RefreshRun, SourceChanges
from tokensieve.jobs.releases.release import Release
from tokensieve.jobs.releases.release_report import (
    BundleChange,
    Drift,
    Flip,
    Flips,
    Point,
    Profile,
    RefreshFile,
    ReleaseReport,
    ReportFile,
    RuleChange,
    SameDocuments,
    Sources,
    TokenFigures,
    Totals,
)

HOSTILE = "part-<script>alert(1)</script>\u202e\x1b[31m\"'&.parquet"
DAYS = [datetime(2026, 11, day, 2, 30, tzinfo=UTC) for day in range(1, 23)]
DOCUMENTS = {"in": 10_000, "keep": 7_000, "mask": 2_000, "hide": 0, "drop": 900, "quarantine": 100}
BEFORE = {"in": 9_000, "keep": 6_500, "mask": 1_700, "hide": 0, "drop": 750, "quarantine": 50}


def bell(centre: int, documents: int, width: int = 40) -> tuple[int, ...]:
    """A histogram on the grid, a triangle around a value."""
    weights = [max(0, width - abs(at - centre)) for at in range(256)]
    return tuple(documents * weight // sum(weights) for weight in weights)


def release(**fields: Any) -> Release:
    """Release 22."""
    values = {
        "version": 22,
        "made_at": DAYS[-1],
        "tables": {"scores": 31, "quarantine": 31, "masked": 29},
        "ledger": "4f0c4f0c4f0c4f0c",
        "score_id": "5c0e5c0e5c0e5c0e",
        "rule_id": "a11ea11ea11ea11e",
        "export_id": "e4b0e4b0e4b0e4b0",
        "bundles": {"medicine": "b2b2b2b2b2b2b2b2", "toxicity": "70c170c170c170c1"},
        "bundle_names": {"medicine": "medicine-<small>", "toxicity": "toxicity-tiny"},
        "manifest": "3a3a3a3a3a3a3a3a",
        "sources": 412,
        "broken": 1,
        "documents": DOCUMENTS,
        "reasons": {"unreadable_file": 1, "null_text": 99},
        "forget_bytes": 4_000_000,
        "tokens": 25_000_000,
        "loss_tokens": 23_100_000,
    }
    return Release.model_validate(values | fields)


def one_run(**fields: Any) -> RefreshRun:
    """The refresh that made it."""
    values = {
        "state": "done",
        "started_at": datetime(2026, 11, 22, 2, 0, tzinfo=UTC),
        "ended_at": datetime(2026, 11, 22, 2, 31, 30, tzinfo=UTC),
        "host": "spark-driver-1",
        "config_id": "c0c0c0c0c0c0c0c0",
        "release": 22,
        "previous": 21,
        "ran": ("score", "mask", "export", "release"),
        "seconds": {"score": 1500.5, "mask": 90.25, "export": 290.0, "release": 0.125},
        "scored": ("part-0410.parquet", "part-0411.parquet", HOSTILE),
        "sources": changes(),
        "gate": Gate(documents=1_000, quarantined=4, tolerance=0.01),
        "documents": DOCUMENTS,
        "reasons": {"unreadable_file": 1, "null_text": 99},
        "tokens": 25_000_000,
        "loss_tokens": 23_100_000,
        "device": DeviceUse(devices=4, tokens_per_s=81_234.5, device_s=5_400.0, dollars=3.75),
    }
    return RefreshRun.model_validate(values | fields)


def changes() -> SourceChanges:
    """What became of the source files."""
    return SourceChanges(
        new=("part-0410.parquet", "part-0411.parquet"),
        changed=("part-0007.parquet",),
        gone=(HOSTILE,),
        kept=408,
        broken={f"broken-{HOSTILE}": "unreadable_file: Parquet magic bytes not found in <footer>"},
    )


def told(file: ReportFile | None, **fields: Any) -> RefreshFile:
    """refresh.json of a refresh."""
    last: dict[str, Any] = {"last_success_at": one_run().ended_at, "report": file and file.report}
    known = {name: fields.pop(name) for name in ("warnings", "last_success_at") if name in fields}
    return RefreshFile(**one_run(**fields).model_dump(), **(last | known))


def report_file(**fields: Any) -> ReportFile:
    """The report of release 22: new bundle and rule for medicine, none for toxicity."""
    same = SameDocuments(before_B=bell(80, 9_000), after_B=bell(96, 9_000))
    profiles = {"medicine": _profile("b2b2b2b2b2b2b2b2", same), "toxicity": _profile("70c170c170c170c1", None)}
    values = {
        "release": 22,
        "previous": 21,
        "made_at": DAYS[-1],
        "last_new_at": DAYS[-1],
        "totals": Totals(
            documents=DOCUMENTS,
            text_bytes=100_000_000,
            forget_bytes={"medicine": 3_500_000, "toxicity": 500_000},
            tokens=25_000_000,
            loss_tokens=23_100_000,
        ),
        "before": Totals(
            documents=BEFORE,
            text_bytes=90_000_000,
            forget_bytes={"medicine": 3_000_000, "toxicity": 450_000},
            tokens=22_500_000,
            loss_tokens=20_900_000,
        ),
        "sources": Sources.of(changes()),
        "bundles": {"medicine": "medicine-<small>", "toxicity": "toxicity-tiny"},
        "drift": {name: drift(profile) for name, profile in profiles.items()},
        "bundle_changes": {
            "medicine": BundleChange(
                before="b1b1b1b1b1b1b1b1",
                after="b2b2b2b2b2b2b2b2",
                name_before="medicine-tiny",
                name_after="medicine-<small>",
                difference=compare(same.before_B, same.after_B),
                mean_change=0.0625,
                correlation=0.875,
            )
        },
        "rule_changes": (RuleChange(policy="medicine", setting="threshold", before="0.8", after="0.75"),),
        "flips": Flips(
            compared=8_950,
            moves=(
                Flip(before="keep", after="mask", documents=240),
                Flip(before="mask", after="drop", documents=18),
            ),
        ),
        "history": tuple(
            Point(
                release=at + 1,
                made_at=made_at,
                documents=5_000 + 230 * at,
                forget_share={"medicine": 0.03 + 0.001 * (at % 5), "toxicity": 0.005 + 0.0002 * (at % 3)},
            )
            for at, made_at in enumerate(DAYS)
        ),
    }
    return ReportFile(report=ReleaseReport.model_validate(values | fields), profiles=profiles)


def drift(profile: Profile) -> Drift:
    """A profile's own documents against its reference."""
    difference = compare(profile.reference_documents_B, profile.documents_B)
    return Drift(
        difference=difference,
        verdict=judge(difference, DriftConfig()),
        tokens_before=TokenFigures(tokens=22_000_000, mean=0.03125, above=0.02),
        tokens_after=TokenFigures(tokens=2_500_000, mean=0.0625, above=0.04),
    )


def _profile(bundle_id: str, same: SameDocuments | None) -> Profile:
    documents_B = bell(70 if same else 100, 1_000)
    reference_B = () if same else bell(80, 9_000)
    return Profile(
        bundle_id=bundle_id,
        threshold=0.8,
        documents_B=documents_B,
        tokens_B=bell(40, 2_500_000),
        unscored=3,
        reference_documents_B=reference_B or (0,) * 256,
        known_documents_B=documents_B,
        known_tokens_B=bell(40, 2_500_000),
        other_bundle=same,
    )
