"""Verb `fit report` on a small bundle and hostile documents: what it writes, what it refuses, what a browser sees."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests.browser import opened
from tests.planted import coarse, planted, write_documents
from tokensieve.jobs.cli import app
from tokensieve.jobs.config.load import load_section
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.fit_report import FitReportConfig, run
from tokensieve.jobs.pages.html import visible
from tokensieve.pretrain.measuring.schema import Report

HOSTILE_ID = '<b onclick="alert(0)">\'&'
HOSTILE = (
    "<script>alert(1)</script></title></style><img src=x onerror=\"document.title='pwned'\"> & NUL\0 "
    "\u202eREVERSED\u202c \x1b[31m 👩‍⚕️ é end"
)
BAD_SOURCE = "<i>shelf</i>"


class Page(HTMLParser):
    """What a browser would make of the page: elements, and the spans of every passage."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.passages: list[list[tuple[str, str]]] = []
        self._inside = False
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "div" and dict(attrs).get("class") == "text":
            self.passages.append([])
            self._inside = True
        if tag == "span" and self._inside:
            self.passages[-1].append((dict(attrs).get("class") or "", ""))

    def handle_endtag(self, tag):
        if tag == "div":
            self._inside = False

    def handle_data(self, data):
        if self._inside and self.passages[-1]:
            kind, text = self.passages[-1][-1]
            self.passages[-1][-1] = (kind, text + data)


def settings(folder: Path, bundle: Path, **changes: Any) -> dict[str, Any]:
    """A configuration with three sets: coarse labels, human spans, and spans against clean texts."""
    hostile = {"documents": str(folder / "hostile.parquet"), "spans": "medical/", "source": "source"}
    clean = {
        "documents": str(folder / "heldout-*.parquet"),
        "sidecar": str(folder / "labels-heldout.parquet"),
        "positive_domain": "medicine",
    }
    sets = [
        {"name": "heldout", "definition": "A token has its <document>'s label.", "sources": [clean], "mistakes": 2},
        {"name": "hostile", "sources": [hostile], "mistakes": 3},
        {"name": "against", "sources": [{**hostile, "unmarked": "unknown"}, clean], "mistakes": 0, "prevalence": 0.1},
    ]
    compute = {"device": "cpu", "dtype": "float32", "threads": 1}
    return {"bundle": str(bundle), "out": str(folder / "out"), "sets": sets, "compute": compute, **changes}


def baselines(folder: Path) -> dict[str, Any]:
    """The section `baselines` of a corpus of planted words."""
    corpus = {
        "train": str(folder / "train-*.parquet"),
        "train_labels": str(folder / "labels-train.parquet"),
        "heldout": str(folder / "heldout-*.parquet"),
        "heldout_labels": str(folder / "labels-heldout.parquet"),
        "licenses": ["CC0 1.0"],
        "positive_domain": "medicine",
        "calibration": 0.3,
    }
    return {"corpus": corpus, "smooth": {"small": [0, 2], "passage": 6}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A corpus of planted words, held-out documents, and a file of marked texts with hostile content."""
    folder = tmp_path_factory.mktemp("corpus")
    write_documents(folder, "train", coarse(planted(60, seed=1)))
    write_documents(folder, "heldout", coarse(planted(24, seed=2)))
    marks = [{"start": 0, "end": 8, "type": "medical/x"}]
    texts = [HOSTILE, *(f"insulin dose {at} in the old garden" for at in range(6))]
    rows = {"id": [HOSTILE_ID, *map(str, range(6))], "text": texts, "spans": [marks] * 7, "source": [BAD_SOURCE] * 7}
    pq.write_table(pa.table(rows), folder / "hostile.parquet")
    return folder


@pytest.fixture(scope="module")
def made(folder, bundle):
    config = FitReportConfig.model_validate(settings(folder, bundle.path, baselines=baselines(folder)))
    result = run(config)
    html, text = (Path(result[kind]).read_text(encoding="utf-8") for kind in ("html", "json"))
    return SimpleNamespace(config=config, result=result, html=html, json=text, report=Report.model_validate_json(text))


def test_the_json_has_every_figure_of_every_set(made):
    assert [one.name for one in made.report.sets] == ["heldout", "hostile", "against"]
    heldout, hostile, against = made.report.sets
    assert {(row.unit, row.kind) for row in heldout.rows} == {
        ("token", "all"), ("token", "domain"), ("document", "all"), ("document", "domain"),
    }  # fmt: skip
    assert {row.unit for row in hostile.rows} == {"token"}
    row = heldout.row("token")
    assert set(row.scorers) == {"model", "word", "lexicon", "passage"}
    assert set(row.differences) == {"word", "lexicon", "passage"}
    assert row.scorers["lexicon"].auroc.value > 0.9  # the planted words are the label
    assert row.differences["lexicon"]["auroc"].high < 0  # and the bundle's weights are made up
    assert against.row("token").prevalence == 0.1
    assert against.row("token").unknown > 0
    assert made.result["auroc"]["heldout"] == row.scorers["model"].auroc.text(4)


def test_the_json_has_the_fields_that_readers_rely_on(made):
    content = json.loads(made.json)
    assert sorted(content) == [
        "baseline_inputs", "baselines", "bundle", "device", "draws", "dtype", "format", "seed", "sets",
    ]  # fmt: skip
    assert content["format"] == "tokensieve-classifier-report/1"
    assert sorted(content["sets"][0]) == [
        "definition", "documents", "inputs", "left_out", "mistakes", "name", "reliability", "rows", "sweeps",
    ]  # fmt: skip
    assert sorted(content["sets"][0]["rows"][0]) == [
        "borrowed", "differences", "documents", "group", "kind", "negatives", "positives", "prevalence", "scorers",
        "unit", "unknown",
    ]  # fmt: skip
    assert sorted(content["sets"][0]["rows"][0]["scorers"]["model"]) == [
        "auroc", "balanced", "false_positive_rate", "marked", "natural", "recall", "threshold",
    ]  # fmt: skip
    assert "NaN" not in made.json


def test_inputs_and_bundle_are_named_by_content(made, bundle):
    assert made.report.bundle.bundle_id == bundle.bundle_id
    assert {len(file.sha256) for one in made.report.sets for file in one.inputs} == {64}
    assert [one.name for one in made.report.baselines] == ["word", "lexicon", "passage"]
    assert len(made.report.baseline_inputs) == 2


def test_the_same_inputs_give_the_same_bytes(made):
    run(made.config)
    assert Path(made.result["json"]).read_text(encoding="utf-8") == made.json
    assert Path(made.result["html"]).read_text(encoding="utf-8") == made.html


def test_the_page_shows_the_figures_of_the_json(made):
    auroc = made.report.sets[0].row("token").scorers["model"].auroc
    assert f"{auroc.value:.4f}" in made.html
    assert f"[{auroc.low:.4f}, {auroc.high:.4f}]" in made.html
    assert "A baseline is at least as good here." in made.html
    assert "A token has its &lt;document&gt;&#x27;s label." in made.html
    # A reliability curve and a sweep for each unit with both classes: two of heldout, one of hostile, two of against.
    assert made.html.count('class="card"><h3>') >= 4
    assert made.html.count("threshold 0.5</text>") == made.html.count('aria-label="Reliability of ') > 3


def test_hostile_text_ids_and_sources_are_shown_as_text(made):
    page = Page(made.html)
    tags = {tag for tag, _ in page.elements}
    assert tags.isdisjoint({"script", "img", "iframe", "object", "embed", "link", "a", "form", "base"})
    names = {name for _, attributes in page.elements for name in attributes}
    assert not {name for name in names if name.startswith("on") or name in ("src", "href", "action")}
    policies = [a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"]
    assert re.search("[\x00-\x08\x0e-\x1f\u202a-\u202e]", made.html) is None
    assert "&lt;b onclick=&quot;alert(0)&quot;&gt;&#x27;&amp;" in made.html
    assert "&lt;i&gt;shelf&lt;/i&gt;" in made.html
    shown = {"".join(text for _, text in passage) for passage in page.passages}
    assert visible(HOSTILE) in shown


def test_the_colours_of_a_passage_are_its_labels_and_scores(made):
    passages = iter(Page(made.html).passages)
    kinds = {"ff": "false_forget", "mf": "missed_forget", "rf": "right_forget", "uk": "unknown", "": "right_retain"}
    for one in (mistake for found in made.report.sets for mistake in found.mistakes):
        drawn = next(passages)
        assert [kinds[kind] for kind, _ in drawn] == [piece.kind for piece in one.pieces]
        assert [text for _, text in drawn] == [visible(piece.text) for piece in one.pieces]
        assert sum(piece.kind == one.kind for piece in one.pieces) <= one.wrong
    assert next(passages, None) is None


def test_documents_that_the_lexicon_learned_from_are_refused(folder, bundle):
    config = settings(folder, bundle.path, baselines=baselines(folder))
    leaky = config["sets"][0]["sources"][0]
    leaky |= {"documents": str(folder / "train-*.parquet"), "sidecar": str(folder / "labels-train.parquet")}
    with pytest.raises(InputError, match=r"heldout: .* documents were used to (learn|tune) the baselines"):
        run(FitReportConfig.model_validate(config))


def test_without_baselines_there_are_no_leads(folder, bundle, tmp_path):
    config = settings(folder, bundle.path, out=str(tmp_path))
    config["sets"] = config["sets"][:1]
    result = run(FitReportConfig.model_validate(config))
    report = Report.model_validate_json(Path(result["json"]).read_text())
    assert report.baselines == []
    assert report.sets[0].rows[0].differences == {}
    assert "No baseline was asked for." in Path(result["html"]).read_text()


def written(folder: Path, config: dict[str, Any]) -> str:
    file = folder / "report.yaml"
    file.write_text(json.dumps(config))
    return str(file)


def test_the_command_line_reports_and_names_what_is_wrong(folder, bundle, tmp_path):
    config = settings(folder, bundle.path, out=str(tmp_path / "out"))
    config["sets"] = config["sets"][1:2]
    done = CliRunner().invoke(app, ["fit", "report", "--config", written(tmp_path, config), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output.splitlines()[-1])["auroc"].keys() == {"hostile"}
    config["sets"][0]["sources"][0]["documents"] = "nowhere-*.parquet"
    done = CliRunner().invoke(app, ["fit", "report", "--config", written(tmp_path, config)])
    assert done.exit_code == 2
    assert "no file matches nowhere-*.parquet" in done.output
    done = CliRunner().invoke(app, ["fit", "report", "--config", written(tmp_path, config), "bundle=nothing"])
    assert (done.exit_code, "neither an existing path nor an installed bundle" in done.output) == (2, True)


def test_a_misspelt_key_inside_a_list_names_its_neighbour(folder, bundle, tmp_path):
    config = settings(folder, bundle.path)
    config["sets"][0]["mistaks"] = 3
    done = CliRunner().invoke(app, ["fit", "report", "--config", written(tmp_path, config)])
    assert done.exit_code == 2
    assert "unknown key sets.0.mistaks; did you mean sets.0.mistakes?" in done.output
    done = CliRunner().invoke(app, ["fit", "report", "--config", written(tmp_path, config), "sets.0.name=x"])
    assert (done.exit_code, "an override names a place inside a list" in done.output) == (2, True)


def test_fit_alone_still_trains_by_a_recipe():
    done = CliRunner().invoke(app, ["fit", "--config", "no/such/recipe"])
    assert (done.exit_code, "no such file here or among the installed presets" in done.output) == (2, True)
    assert CliRunner().invoke(app, ["fit", "recipe", "--config", "no/such/recipe"]).output == done.output
    named = CliRunner().invoke(app, ["fit", "--help"]).output
    assert re.search(r"report\s+Measure a bundle", named)


def test_the_shipped_configuration_is_valid(repository):
    config = load_section(FitReportConfig, str(repository / "conf/classifiers/medicine-tiny-report.yaml"))
    assert [one.name for one in config.sets][:4] == [
        "heldout", "craft.disease_in_biology", "bc5cdr.spans_in_abstracts", "bc5cdr.spans_against_negatives",
    ]  # fmt: skip
    assert config.baselines is not None


def test_in_a_real_browser_nothing_runs_and_the_passages_are_the_same(made, tmp_path):
    shot = tmp_path / "page.png"
    content = opened(Path(made.result["html"]), tmp_path, shot)
    seen = Page(content)
    assert seen.passages == Page(made.html).passages
    assert content.count("<title>tokensieve: ") == 1
    assert {tag for tag, _ in seen.elements}.isdisjoint({"script", "img"})
    # A blank picture of that size packs into less than 10 kB.
    assert shot.stat().st_size > 50_000
