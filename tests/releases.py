"""Release records of the tables as they stand, and folders of training runs, for tests of what reads them."""

import json
from datetime import UTC, datetime
from pathlib import Path

from tokensieve.jobs.config.corpus import Config
from tokensieve.jobs.releases.release import Release, releases
from tokensieve.jobs.tables.quarantine import pinned_version
from tokensieve.pretrain.shards.manifest import Manifest


def release_now(config: Config) -> Release:
    """Writes the next release, of the newest tables and the newest manifest; counts that nobody reads are 0."""
    scores, masked = config.tables.table("scores").commit(), config.tables.table("masked").commit()
    assert scores is not None
    assert masked is not None
    manifest = Manifest.load(config.shards)
    versions = {"scores": scores.version, "quarantine": pinned_version(scores), "masked": masked.version}
    release = Release(
        version=max(releases(config.tables.store), default=0) + 1,
        made_at=datetime(2026, 11, 22, tzinfo=UTC),
        tables=versions,  # type: ignore[arg-type]
        ledger=scores.ledger,
        score_id="",
        rule_id=manifest.inputs.rule_id,
        export_id="",
        bundles={},
        bundle_names={},
        manifest=manifest.id,
        sources=0,
        broken=0,
        documents={},
        reasons={},
        forget_bytes=0,
        tokens=manifest.tokens,
        loss_tokens=manifest.loss_tokens,
    )
    assert release.create(config.tables.store)
    return release


def write_stopped_run(folder: Path, corpus_id: str) -> Path:
    """A run that has stopped after a checkpoint."""
    (folder / "checkpoints" / "step-00000004").mkdir(parents=True)
    (folder / "checkpoints" / "step-00000004" / "complete.json").write_text(json.dumps({"corpus_id": corpus_id}))
    return folder
