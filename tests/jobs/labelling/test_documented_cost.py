"""What docs/labelling.md says that asking Claude costs is what a dry run of the same commands prints."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.planted import write_commit
from tokensieve.jobs.config.labelling import LabelConfig
from tokensieve.jobs.config.load import load_section
from tokensieve.jobs.labelling.claude import documents, sentences
from tokensieve.jobs.labelling.sae import describe, select
from tokensieve.udfs.sae.contexts import CONTEXT_SCHEMA

LATENTS, CONTEXTS, BYTES = 1_000, 20, 480  # what `stats` keeps of a latent by default


@pytest.fixture(scope="module")
def stated(repository: Path) -> dict[str, list[float]]:
    """The rows of the table of costs: by command requests, tokens in, most tokens out, dollars."""
    lines = (repository / "docs" / "labelling.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `label ")]
    return {row[0].strip("`"): [float(re.sub("[$,]", "", cell)) for cell in row[2:]] for row in rows}


@pytest.fixture
def config(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabelConfig:
    monkeypatch.chdir(repository)  # the preset's paths are relative to it
    asked = ("claude.model=claude-sonnet-5-5", "claude.budget_usd=100", "claude.dry_run=true")
    return load_section(LabelConfig, "labelling/medicine", (*asked, f"tables.root={tmp_path}"))


def priced(found: dict[str, Any]) -> Any:
    """Which canaries are drawn is a project's own secret, and they differ in length: by less than one percent."""
    counts = [found[name] for name in ("requests", "input_tokens", "output_tokens", "dollars")]
    return pytest.approx(counts, rel=0.01)


@pytest.mark.parametrize("verb", [documents, sentences])
def test_the_stated_cost_of_texts_is_that_of_a_dry_run_on_the_bundled_text(stated, config, spark, verb):
    name = "label claude " + verb.__name__.rpartition(".")[2]
    assert stated[name] == priced(verb.run(config, spark))


def test_the_stated_cost_of_latents_is_that_of_a_dry_run_on_a_thousand_of_them(stated, config):
    texts = [row for path in sorted(Path(config.source.path).glob("*.parquet")) for row in _texts(path)]
    whole = " ".join(texts).encode("ascii", "ignore")
    rows = []
    for number in range(LATENTS * CONTEXTS):
        text = whole[number * 97 % (len(whole) - BYTES) :][:BYTES].decode()
        place = {"text": text, "start": BYTES // 2, "end": BYTES // 2 + 8, "doc_id": str(number)}
        rank = number % CONTEXTS
        rows.append({"latent_id": number // CONTEXTS, "rank": rank, "activation": float(CONTEXTS - rank), **place})
    batch = config.tables.folder / "sae" / "contexts" / "batch=one"
    batch.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, CONTEXT_SCHEMA), batch / "part.parquet")
    write_commit(batch.parent, {"batch": "one", "inputs": {"slice_id": "abc"}}, batch.name)
    assert stated["label sae describe"] == priced(describe.run(config))
    found = [
        {"latent_id": latent, "description": "x" * 120, "score": 1.0, "recall": 1.0, "source": "claude", "note": None}
        for latent in range(LATENTS)
    ]
    pq.write_table(
        pa.Table.from_pylist(found, describe.DESCRIPTION_SCHEMA), batch.parent.parent / "descriptions.parquet"
    )
    assert stated["label sae select"] == priced(select.run(config))


def _texts(path: Path) -> list[str]:
    return pq.read_table(path, columns=["text"])["text"].to_pylist()
