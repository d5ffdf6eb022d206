"""An option has a line in the docs, or it goes; and the docs name no option that is gone."""

from functools import cache
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel

from tests.documented_options import (
    CORPUS,
    Options,
    undocumented,
    undocumented_flags,
    unknown,
    unknown_flags,
    wrong_defaults,
)
from tokensieve.jobs.cli import app
from tokensieve.jobs.command import verbs
from tokensieve.jobs.command.verbs import named

REPOSITORY = Path(__file__).resolve().parent.parent
FILES = {
    CORPUS: verbs.CONFIG,
    "a labelling project": verbs.LABEL,
    "a mix": verbs.MIX,
    "an encoder's recipe": "pretrain.encoder.config:EncoderConfig",
    "a classifier's recipe": "pretrain.classifier.config:FitConfig",
    "a report": "jobs.fit_report:FitReportConfig",
    "a calibration": "jobs.calibrate:CalibrateConfig",
    "a policy": "jobs.policies.definition:PolicyDefinition",
}
"""What a YAML file may describe, as the pages call it, and its model."""


def pages() -> dict[str, str]:
    """The text of the README and of every page of docs/, by name."""
    files = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
    return {str(file.relative_to(REPOSITORY)): file.read_text(encoding="utf-8") for file in files}


@cache
def options() -> Options:
    """All options of all files."""
    found = Options()
    for file, model in FILES.items():
        found.add(named(model), file)
    return found


def test_every_model_of_a_verb_is_walked() -> None:
    tables = [value for value in vars(verbs).values() if isinstance(value, tuple)]
    lone = [value for value in vars(verbs).values() if isinstance(value, verbs.Verb)]
    every = [verb for verb in (*lone, *(one for table in tables for one in table)) if isinstance(verb, verbs.Verb)]
    assert {verb.model for verb in every} <= set(FILES.values())


def test_every_option_has_a_line_in_the_docs() -> None:
    missing = undocumented(options(), pages())
    assert not missing, "no page names these options:\n" + "\n".join(f"{one.file}: {one.path}" for one in missing)


def test_the_docs_name_no_option_that_is_gone() -> None:
    gone = unknown(options(), pages())
    assert not gone, "no model has these keys:\n" + "\n".join(gone)


def test_the_docs_say_the_defaults_of_the_models() -> None:
    wrong = wrong_defaults(options(), pages())
    assert not wrong, "the models have other defaults:\n" + "\n".join(wrong)


def test_every_option_of_a_command_has_a_line_in_the_docs() -> None:
    missing = undocumented_flags(typer.main.get_command(app), pages())
    assert not missing, "no line of code names these:\n" + "\n".join(missing)


def test_the_docs_call_no_command_with_an_option_that_is_gone() -> None:
    gone = unknown_flags(typer.main.get_command(app), pages())
    assert not gone, "no command has these:\n" + "\n".join(gone)


class _Rule(BaseModel):
    threshold: float = 0.5
    planted: int = 3


class _Part(BaseModel):
    path: str
    rules: dict[str, _Rule] = {}
    parts: list[_Rule] = []
    names: dict[str, str] = {}


class _Made(BaseModel):
    seed: int = 0
    part: _Part | None = None


@pytest.fixture
def made() -> Options:
    """Options of two kinds of files that share a model."""
    found = Options()
    found.add(_Made, CORPUS)
    found.add(_Part, "a mix")
    return found


ROW = "| section | model | keys |\n|---|---|---|\n| `part.rules.NAME` | | `threshold`, `planted` |\n"
KEYS = "| key of a mix | default | what it is |\n|---|---|---|\n| `path`, `names` | {} | where |\n"


@pytest.mark.parametrize(
    ("page", "documented"),
    [
        ("seed, part.path, planted", ""),
        ("`seed` and `path` and `planted`", ""),
        ("`part.path=x`, `.names`", "path names"),
        ("| `part.path` | `names` |", "path"),
        ("| key |\n|---|\n| `part.path`, `names` |", "path names"),
        (ROW, "threshold planted"),
        (KEYS, "path names"),
        ("```\nrun part.path=3 seed=2\n```", "path"),
        ("```yaml\nseed: 1\npart: {rules: {one: {planted: 1}}}\n```", "seed planted"),
        ("```yaml\npath: x\nparts: [{planted: 1}]\n```", "path planted"),
    ],
)
def test_a_word_that_merely_occurs_documents_nothing(made: Options, page: str, documented: str) -> None:
    missing = {one.path.rpartition(".")[2] for one in undocumented(made, {"page.md": page})}
    assert missing == {"seed", "path", "names", "threshold", "planted"} - set(documented.split())


def test_a_key_that_no_model_has_is_found(made: Options) -> None:
    page = "`part.path`, `part.names.x`, `part.rules.any.threshold`, `part.gone`, `part.json`, `other.gone`\n\n"
    page += "| key of a mix |\n|---|\n| `lost` |\n\n```\nrun part.left=1\n```\n```yaml\npart: {pth: 1}\n```"
    assert unknown(made, {"page.md": page}) == [
        f"page.md: {key}" for key in ("part.gone", "lost", "part.left", "part.pth")
    ]


def test_a_default_that_a_model_does_not_have_is_found(made: Options) -> None:
    assert wrong_defaults(made, {"page.md": KEYS.format("must be given, `{}`")}) == []
    assert wrong_defaults(made, {"page.md": KEYS.format("none")}) == ["page.md: `path`, `names`: none"]


def test_an_option_of_a_command_is_looked_for_beside_the_command() -> None:
    app = typer.Typer()

    @app.command("run")
    def run(planted: bool = False) -> None:
        pass

    @app.command("other")
    def other() -> None:
        pass

    made = typer.main.get_command(app)
    assert undocumented_flags(made, {"p": "`run` with --planted, `--planted`\n"}) == []
    assert undocumented_flags(made, {"p": "`run`\n`--planted`"}) == ["run --planted"]
    assert unknown_flags(made, {"p": "`tokensieve run --planted`, `tokensieve other --planted`"}) == [
        "p: other --planted"
    ]
