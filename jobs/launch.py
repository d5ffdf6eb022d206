"""Verb `pretrain launch`: prints a run's plan, scripts and command, and starts it with `--submit`.

What the trainers read is the resolved configuration, written beside the scripts: a job that waits in a queue does not
follow later edits of the project's file, nor later exports. Sections that training does not read stay out of it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.releases.training_runs import of_its_run, output_folder, section, shards_folder

if TYPE_CHECKING:
    from tokensieve.jobs.config.corpus import Config

UNREAD = {"launch", "report", "spark"}


def launch(config: "Config", submit: bool) -> dict[str, Any]:
    """What was prepared, and with `submit` started. Raises ConfigError, LaunchError, PlanError, ManifestError."""
    from tokensieve.pretrain.launch.launch import prepare

    config = _pinned(config)
    shards, out = shards_folder(config), output_folder(config)
    made = prepare(
        section(config),
        config.launch,
        shards=shards,
        out=out,
        project=_resolved(config, shards, out),
        folder=Path.cwd(),
    )
    result = {
        "command": list(made.command),
        "files": [str(path) for path in made.files],
        "plan": {"steps": made.plan.steps, "samples": made.plan.samples, "corpus_id": made.plan.corpus_id},
        "submitted": submit,
    }
    if submit:
        answer = made.submit()
        return result | {"answer": answer, "lines": [*made.plan.lines(), answer or f"the run has ended: {out}"]}
    return result | {"lines": [*made.lines(), "                  nothing was written or started; add --submit"]}


def _pinned(config: "Config") -> "Config":
    """The configuration with today's manifest named, or that of the run which it goes on with."""
    from tokensieve.pretrain.samples.corpus import Corpus

    config = of_its_run(config)
    corpus = Corpus.load(shards_folder(config), section(config).manifest)
    return config.model_copy(update={"pretrain": section(config).model_copy(update={"manifest": corpus.id})})


def _resolved(config: "Config", shards: Path, out: Path) -> str:
    """The configuration with its presets and overrides in it, and the run's folders as absolute paths."""
    from tokensieve.jobs.config.load import to_yaml

    settings = section(config).model_copy(update={"shards": str(shards), "out": str(out), "preset": None})
    return to_yaml(config.model_copy(update={"pretrain": settings}), exclude=UNREAD)
