"""Verbs as commands: added to the command line, or each as a program of its own, `spark-submit jobs/VERB.py`.

A program knows its own verb only, so a verb's file imports nothing that imports it.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tokensieve.jobs.command.run_verb import (
    ConfigOption,
    DryRunOption,
    JsonOption,
    Overrides,
    ShowOption,
    finish,
    guard,
    lazy_session,
    load,
    run_verb,
    session,
)
from tokensieve.jobs.command.verbs import REFRESH, TRACE, TRACE_STEP, VERBS, Verb


def add_verb(to: typer.Typer, verb: Verb) -> None:
    """Adds the command of a verb that takes a configuration and no options of its own but `--dry-run`."""

    def command(
        config: ConfigOption = "demo" if verb.name == "demo" else ...,  # type: ignore[assignment]
        overrides: Overrides = None,
        as_json: JsonOption = False,
        show_config: ShowOption = False,
    ) -> None:
        loaded = load(config, overrides, show_config, verb.model)
        finish(guard(lambda: run_verb(verb, loaded)), as_json)

    def command_with_dry_run(
        config: ConfigOption,
        overrides: Overrides = None,
        as_json: JsonOption = False,
        show_config: ShowOption = False,
        dry_run: DryRunOption = False,
    ) -> None:
        if verb.asks_claude:
            overrides = [*(overrides or ()), *(["claude.dry_run=true"] if dry_run else [])]
        loaded = load(config, overrides, show_config, verb.model)
        run = verb.estimate if verb.estimate and dry_run else verb
        finish(guard(lambda: run_verb(run, loaded)), as_json)

    takes_dry_run = verb.asks_claude or verb.estimate
    to.command(verb.name, help=verb.help)(command_with_dry_run if takes_dry_run else command)


def add_trace(to: typer.Typer) -> None:
    """Adds `trace`."""

    def trace(
        config: ConfigOption,
        doc_id: Annotated[str | None, typer.Argument(help="A document's id, as the tables have it.")] = None,
        overrides: Overrides = None,
        step: Annotated[int | None, typer.Option(help="Instead of a document: a step of the training run.")] = None,
        rank: Annotated[int, typer.Option(help="With --step: the process that read the batch.")] = 0,
        as_json: JsonOption = False,
        show_config: ShowOption = False,
    ) -> None:
        if step is not None and doc_id is not None:  # no document is given: the first argument is an override
            overrides, doc_id = [doc_id, *(overrides or ())], None
        loaded = load(config, overrides, show_config)

        def run() -> dict[str, Any]:
            from tokensieve.jobs.errors import InputError

            if step is not None:
                return TRACE_STEP.run(loaded, step, rank)
            if doc_id is None:
                raise InputError("trace needs a document id, or --step N of a training run")
            return TRACE.run(loaded, session(loaded), doc_id)

        finish(guard(run), as_json)

    to.command(TRACE.name, help=TRACE.help)(trace)


def add_refresh(to: typer.Typer) -> None:
    """Adds `refresh`."""

    def refresh(
        config: ConfigOption,
        overrides: Overrides = None,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what is new and what would run; write nothing.")
        ] = False,
        replay: Annotated[bool, typer.Option("--replay", help="Score files with quarantined rows again.")] = False,
        as_of: Annotated[
            int | None, typer.Option(help="Instead: show a release, and what is still there of it.")
        ] = None,
        rebuild: Annotated[
            Path | None, typer.Option(help="With --as-of: make its shards again in this folder.")
        ] = None,
        as_json: JsonOption = False,
        show_config: ShowOption = False,
    ) -> None:
        loaded = load(config, overrides, show_config)

        def run() -> dict[str, Any]:
            with lazy_session(loaded, REFRESH.name) as opened:
                return REFRESH.run(loaded, opened, dry_run=dry_run, replay=replay, as_of=as_of, rebuild=rebuild)

        finish(guard(run), as_json)

    to.command(REFRESH.name, help=REFRESH.help)(refresh)


def application(name: str) -> None:
    """A Spark verb as an application: spark-submit jobs/VERB.py --config FILE key=value.

    A script's own folder comes first on Python's path, where our files would pass for modules of the same name.
    """
    here = os.path.dirname(os.path.abspath(sys.argv[0]))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    sys.argv[0] = f"tokensieve {name}"
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    special = {TRACE.name: add_trace, REFRESH.name: add_refresh}
    if name in special:
        special[name](app)
    else:
        add_verb(app, next(verb for verb in VERBS if verb.name == name))
    app()
