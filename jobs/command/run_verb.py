"""What every command does around its job: the options, reading the configuration, errors to exit codes, the result.

Only typer is imported here, so that help is instant.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from tokensieve.jobs.command.verbs import CONFIG, Verb, named

if TYPE_CHECKING:
    from tokensieve.jobs.config.corpus import Config
    from tokensieve.jobs.config.labelling import LabelConfig

Result = TypeVar("Result")

ConfigOption = Annotated[str, typer.Option("--config", "-c", help="A YAML file, or a preset's name such as demo.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Dotted keys that win over the file.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Make the last line of output one JSON object.")]
ShowOption = Annotated[bool, typer.Option("--show-config", help="Print the resolved configuration and stop.")]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Print what it would do, or take in tokens and dollars; send and write nothing."),
]


def run_verb(verb: Verb, config: "Config | LabelConfig") -> dict[str, Any]:
    """Imports a verb's job and runs it; a Spark verb in the running or a new session."""
    if not verb.spark:
        return verb.run(config)
    from tokensieve.jobs.errors import executor_errors
    from tokensieve.jobs.spark.progress import watch_tasks
    from tokensieve.jobs.tables.lock import alone

    spark = session(config)
    with alone(config.tables, verb.name), watch_tasks(spark, verb.name), executor_errors(verb.name):
        return verb.run(config, spark)


@contextmanager
def lazy_session(config: "Config", what: str) -> Iterator[Callable[[], Any]]:
    """Gives a function that opens the session when it is first called; from then on a line tells how work goes.

    On YARN's cluster mode it is opened at once: there an application that makes no SparkContext counts as failed.
    """
    with ExitStack() as stack:

        @cache
        def opened() -> Any:
            from tokensieve.jobs.spark.progress import watch_tasks

            spark = session(config)
            stack.enter_context(watch_tasks(spark, what))
            return spark

        if "CONTAINER_ID" in os.environ:  # set by YARN's node manager
            opened()
        yield opened


def session(config: "Config | LabelConfig") -> Any:
    """The running Spark session or a new one, with Delta where the configuration needs it."""
    from tokensieve.jobs.spark.session import open_session

    places = ((config.source.path, config.source.storage), (config.tables.root, config.tables.storage))
    return open_session(config.spark, "delta" in (config.tables.format, config.source.format), places)


def load(path: str, overrides: list[str] | None, show: bool, model: str = CONFIG) -> Any:
    """The configuration of a command; with `show` it is printed, and the command ends."""
    from tokensieve.jobs.config.load import load_section, to_yaml
    from tokensieve.udfs.files.content_id import content_id

    config = guard(lambda: load_section(_model(model), path, overrides or ()))
    if show:
        typer.echo(to_yaml(config) + f"# config_id: {content_id(config.model_dump(mode='json'))}")
        raise typer.Exit
    return config


def _model(place: str) -> Any:
    """The class of a verb's configuration. Raises InputError when what it needs is not installed."""
    from tokensieve.jobs.errors import InputError

    try:
        return named(place)
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == "tokensieve":
            raise
        raise InputError(f"{error.name} is not installed; pip install 'tokensieve[score,transformers]'") from error


def guard(call: Callable[[], Result]) -> Result:
    """Turns the errors that users can act on into one message and an exit code; anything else keeps its traceback."""
    from tokensieve.jobs.errors import VerbError
    from tokensieve.pretrain.errors import ConvertError, DatasetError, LaunchError, ManifestError, TrainingError
    from tokensieve.pretrain.shards.megatron_index import ShardError
    from tokensieve.pretrain.training.plan import PlanError
    from tokensieve.udfs.files.storage import StoreError
    from tokensieve.udfs.labels.labels import LabelError

    try:
        return call()
    except VerbError as error:
        typer.echo(f"tokensieve: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except (ConvertError, ManifestError, PlanError, ShardError, DatasetError, LabelError, LaunchError) as error:
        typer.echo(f"tokensieve: {error}", err=True)
        raise typer.Exit(2) from None
    except StoreError as error:
        typer.echo(f"tokensieve: {error}", err=True)
        raise typer.Exit(1) from None
    except TrainingError as error:
        typer.echo(f"tokensieve: {error}", err=True)
        raise typer.Exit(error.exit_code) from None


def finish(result: dict[str, Any], as_json: bool) -> None:
    """Prints a result: its "lines" or a table for people, or one JSON object. Under torchrun only the first does."""
    if os.environ.get("RANK", "0") != "0":
        return
    lines = result.pop("lines", None)
    if as_json:
        typer.echo(json.dumps(result, sort_keys=True))
    else:
        typer.echo("\n".join(lines or _readable(result)))


def _readable(result: dict[str, Any]) -> list[str]:
    width = max(map(len, result), default=0)
    shown = {key: value if not isinstance(value, dict) else _inline(value) for key, value in result.items()}
    return [
        f"{key:<{width}}  {value:,}" if isinstance(value, int) else f"{key:<{width}}  {value}"
        for key, value in shown.items()
    ]


def _inline(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {_inline(value) if isinstance(value, dict) else value}" for key, value in values.items())
