"""The alert rules: of Prometheus's schema, about metrics that exist, and firing when they should (with promtool)."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.jobs.refreshing.report_values import release, report_file, told
from tokensieve.jobs.pages.refresh.metrics import HELP, PREFIX, exposition

GROUP_KEYS = {"name", "interval", "limit", "query_offset", "labels", "rules"}
RULE_KEYS = {"alert", "expr", "for", "keep_firing_for", "labels", "annotations"}


@pytest.fixture(scope="module")
def rules_file(repository) -> Path:
    return repository / "conf" / "alerts" / "tokensieve.rules.yaml"


@pytest.fixture(scope="module")
def rules(rules_file) -> list[dict]:
    content = yaml.safe_load(rules_file.read_text())
    assert set(content) == {"groups"}
    assert all(set(group) <= GROUP_KEYS for group in content["groups"])
    return [rule for group in content["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool here (it comes with Prometheus)")
    return found


def test_every_rule_has_what_an_alert_needs(rules):
    for rule in rules:
        assert set(rule) <= RULE_KEYS
        assert re.fullmatch(r"Tokensieve[A-Za-z]+", rule["alert"])
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
    assert len({rule["alert"] for rule in rules}) == len(rules)


def test_every_metric_and_label_in_an_expression_is_in_the_exposition(rules):
    text = exposition({"root": "/data"}, told(report_file()), release(), tolerance=0.01, priced=True)
    for rule in rules:
        named = re.findall(rf"{PREFIX}(\w+)(?:\{{([^}}]*)\}})?", rule["expr"])
        assert named, rule["alert"]
        for metric, labels in named:
            assert metric in HELP, f"{rule['alert']} asks for {metric}"
            wanted = [label.strip() for label in labels.split(",") if label]
            lines = [line for line in text.splitlines() if line.startswith(f"{PREFIX}{metric}{{")]
            assert any(all(label in line for label in wanted) for line in lines), f"{rule['alert']}: {labels}"


def test_promtool_takes_the_rules(rules_file, promtool):
    done = subprocess.run([promtool, "check", "rules", str(rules_file)], capture_output=True, text=True, timeout=60)
    assert "7 rules found" in done.stdout
    assert done.returncode == 0, done.stderr


def test_alerts_fire_when_they_should_and_not_before(rules_file, promtool, tmp_path):
    cases = Path(__file__).with_name("tokensieve.rules.test.yaml").read_text().replace("RULES", str(rules_file))
    file = tmp_path / "test.yaml"
    file.write_text(cases)
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_exposition(promtool):
    """Its linter knows the naming rules of metrics, too."""
    text = exposition({"root": "/data"}, told(report_file()), release(), tolerance=0.01, priced=True)
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
