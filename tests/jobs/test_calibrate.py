"""Verb `calibrate`: a bundle with other thresholds that scores as before, and goals that are refused."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.planted import planted, write_documents, write_label_set
from tokensieve.jobs.calibrate import CalibrateConfig, run
from tokensieve.jobs.cli import app
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.fit_report import FitReportConfig
from tokensieve.jobs.fit_report import run as report
from tokensieve.udfs.bundles.bundle import Bundle

COMPUTE = {"device": "cpu", "dtype": "float32", "threads": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Planted words with a label set, for calibration, and others to report on."""
    folder = tmp_path_factory.mktemp("corpus")
    for split, seed in (("calibration", 1), ("heldout", 2)):
        write_documents(folder, split, planted(24, seed))
        write_label_set(folder / "labels" / split, planted(24, seed))
    return folder


def source(folder: Path, split: str) -> dict[str, str]:
    return {"documents": str(folder / f"{split}-*.parquet"), "label_set": str(folder / "labels" / split)}


def settings(folder: Path, bundle: Bundle, out: Path, **goals: object) -> dict[str, object]:
    return {
        "bundle": str(bundle.path),
        "out": str(out),
        "sources": [source(folder, "calibration")],
        "goals": goals,
        "compute": COMPUTE,
    }


def test_a_new_bundle_meets_the_goals_and_keeps_the_encoder(folder, bundle, tmp_path):
    goals = {"token": {"share": 0.2}, "document": {"f1": "prevalence"}, "cascade": {"recall": 0.9}}
    result = run(CalibrateConfig.model_validate(settings(folder, bundle, tmp_path / "new", **goals)))
    new = Bundle.load(tmp_path / "new")
    assert (result["bundle_id"], result["encoder_id"], result["documents"]) == (new.bundle_id, bundle.encoder_id, 24)
    assert result["token"]["marked"] == pytest.approx(0.2, abs=0.02)
    assert result["cascade"]["recall"] >= 0.9
    assert new.spec.name == "new"
    assert new.spec.thresholds["token"].value == result["token"]["threshold"]
    assert new.spec.thresholds["token"].how.startswith(
        "0.2 of all units marked, on 24 calibration documents (label set"
    )


def test_a_report_is_made_on_other_documents_only(folder, bundle, tmp_path):
    run(CalibrateConfig.model_validate(settings(folder, bundle, tmp_path / "new", token={"recall": 0.5})))
    wanted = {"bundle": str(tmp_path / "new"), "out": str(tmp_path / "report"), "compute": COMPUTE}
    sets = [{"name": "heldout", "sources": [source(folder, "heldout")]}]
    assert set(report(FitReportConfig.model_validate({**wanted, "sets": sets}))["auroc"]) == {"heldout"}
    sets[0]["sources"].append(source(folder, "calibration"))
    with pytest.raises(InputError, match="heldout: 24 of 24 documents were used to choose its thresholds"):
        report(FitReportConfig.model_validate({**wanted, "sets": sets}))


def test_a_rate_on_a_retain_domain(folder, bundle, tmp_path):
    config = settings(folder, bundle, tmp_path / "new", token={"false_positive_rate": {"biology": 0.05}})
    config["sources"] = [
        {
            "documents": str(folder / "calibration-*.parquet"),
            "sidecar": str(folder / "labels-calibration.parquet"),
            "positive_domain": "medicine",
        }
    ]
    result = run(CalibrateConfig.model_validate(config))
    assert result["token"]["false_positive_rate.biology"] <= 0.05


def test_a_goal_out_of_reach_writes_nothing_and_says_what_is_in_reach(folder, bundle, tmp_path):
    file = tmp_path / "calibrate.yaml"
    file.write_text(json.dumps(settings(folder, bundle, tmp_path / "new", document={"share": 0.001})))
    done = CliRunner().invoke(app, ["calibrate", "--config", str(file)])
    assert done.exit_code == 2
    assert "goal of the document threshold: share 0.001 cannot be met: neighbouring thresholds mark" in done.output
    assert not (tmp_path / "new").exists()


def test_a_domain_that_is_not_there_is_named(folder, bundle, tmp_path):
    config = settings(folder, bundle, tmp_path / "new", token={"false_positive_rate": {"biology": 0.05}})
    with pytest.raises(InputError, match=r"domain 'biology' has no unit that is labelled retain; domains here: none"):
        run(CalibrateConfig.model_validate(config))


def test_the_command_line_calibrates(folder, bundle, tmp_path):
    file = tmp_path / "calibrate.yaml"
    file.write_text(json.dumps(settings(folder, bundle, tmp_path / "new", token={"f1": "balanced"})))
    done = CliRunner().invoke(app, ["calibrate", "--config", str(file), "name=other", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output.splitlines()[-1])["bundle"] == str(tmp_path / "new")
    assert Bundle.load(tmp_path / "new").spec.name == "other"
