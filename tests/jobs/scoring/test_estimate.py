"""`score --dry-run`: counts from footers, arithmetic of the price, and a tables.root that is not touched."""

import json
import sys

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests.corpora import write_corpus
from tokensieve.jobs.cli import app
from tokensieve.jobs.config.corpus import load_config
from tokensieve.jobs.config.score import Cost, CostConfig, cost
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.scoring import estimate, timing
from tokensieve.jobs.source import first_rows as sampling
from tokensieve.jobs.source.without_spark import planned_source


def demo(tmp_path, *overrides: str):
    return load_config("demo", [f"tables.root={tmp_path / 'tables'}", *overrides])


def test_hours_and_dollars_follow_from_tokens_and_speed():
    config = CostConfig(devices=4, dollars_per_device_hour=3.0)
    assert cost(7_200_000, 1_000.0, config) == Cost(device_hours=2.0, wall_hours=0.5, dollars=6.0)
    assert cost(7_200_000, 1_000.0, CostConfig()) == Cost(device_hours=2.0, wall_hours=2.0, dollars=None)


def test_counts_are_those_of_the_footers_and_a_known_speed_is_taken_as_it_is(tmp_path):
    known = ("score.device_tokens_per_s=2000", "score.cost.devices=3", "score.cost.dollars_per_device_hour=1.5")
    config = demo(tmp_path, *known, "score.partition_mb=0.5")
    found = estimate.run(config)
    files = [
        pq.ParquetFile(split.path).metadata
        for split in planned_source(config.source, config.spark).splits
        if split.group == 0
    ]
    assert found["documents"] == sum(file.num_rows for file in files) == 176
    columns = [
        file.row_group(group).column(at)
        for file in files
        for group in range(file.num_row_groups)
        for at in range(file.num_columns)
    ]
    assert found["text_bytes"] == sum(one.total_uncompressed_size for one in columns if one.path_in_schema == "text")
    hours = found["tokens"] / 2000 / 3600
    assert found["cost"] == {"device_hours": hours, "wall_hours": hours / 3, "dollars": hours * 1.5}
    assert (found["tokens_per_s"], found["device"]) == (2000.0, None)
    assert found["tokens_low"] <= found["tokens"] <= found["tokens_high"]
    assert not (tmp_path / "tables").exists()
    assert "speed      2,000 tokens/s a device, by score.device_tokens_per_s" in found["lines"]


def test_the_demo_is_timed_and_the_interval_of_its_tokens_holds(tmp_path, monkeypatch, bundle):
    monkeypatch.setattr(sampling, "TEXT_BYTES", 200_000)
    monkeypatch.setattr(estimate, "SECONDS", 0.2)
    config = demo(tmp_path, f"policies.medicine.bundle={bundle.path}", "score.cost.dollars_per_device_hour=null")
    found = estimate.run(config)
    paths = sorted({split.path for split in planned_source(config.source, config.spark).splits})
    texts = [text for path in paths for text in pq.read_table(path).column("text").to_pylist()]
    exact = len(bundle.tokenizer().encode(texts).ids_T)
    assert found["sample_bytes"] < 0.3 * found["text_bytes"]
    assert found["tokens_low"] < exact < found["tokens_high"] < 1.2 * exact
    assert found["tokens_per_s"] > 0
    assert found["device"] == timing.cpu_name()
    assert found["backend"] == "torch float32"
    assert 0.3 < found["output_bytes"] / found["text_bytes"] < 2.5
    assert any(line.endswith("no price set (score.cost.dollars_per_device_hour)") for line in found["lines"])
    assert not (tmp_path / "tables").exists()


def test_the_option_prints_one_object_and_starts_no_session(configure, tmp_path, monkeypatch):
    write_corpus(tmp_path / "source")
    (tmp_path / "source" / "part-00009.parquet").write_bytes(b"broken")
    configure()
    monkeypatch.setitem(sys.modules, "pyspark", None)
    arguments = ["--dry-run", "--json", "score.device_tokens_per_s=10"]
    done = CliRunner().invoke(app, ["score", "--config", str(tmp_path / "corpus.yaml"), *arguments])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["documents"], found["broken_files"], found["sample_documents"]) == (24, 1, 24)
    assert found["tokens_low"] == found["tokens_high"] == found["tokens"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.yaml", "source"]


def test_what_is_wrong_with_the_source_is_said_before_anything_is_timed(configure, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        estimate.run(configure("source.path=/nowhere"))
