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


def test_every_option_of_a_command_has_a_line_in_the_docs() -> None:
    missing = undocumented_flags(typer.main.get_command(app), pages())
    assert not missing, "no line of code names these:\n" + "\n".join(missing)


def test_the_docs_call_no_command_with_an_option_that_is_gone() -> None:
    gone = unknown_flags(typer.main.get_command(app), pages())
    assert not gone, "no command has these:\n" + "\n".join(gone)
