"""Verb `pretrain launch`: prints a run's plan, scripts and command, and starts it with `--submit`.

What the trainers read is the resolved configuration, written beside the scripts: a job that waits in a queue does not
follow later edits of the project's file. Sections that training does not read stay out of it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.errors import ConfigError
from jobs.train import output_folder

if TYPE_CHECKING:
    from jobs.config import Config

UNREAD = {"launch", "report", "spark"}


def launch(config: "Config", submit: bool) -> dict[str, Any]:
    """What was prepared, and with `submit` started. Raises ConfigError, LaunchError, PlanError, ManifestError."""
    from pretrain.launch.launch import prepare

    if config.pretrain is None:
        raise ConfigError("the configuration has no section `pretrain`; see conf/demo.yaml for one")
    shards = Path(config.pretrain.shards or config.tables.shards).absolute()
    out = (Path(config.pretrain.out) if config.pretrain.out else output_folder(config)).absolute()
    made = prepare(
        config.pretrain,
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


def _resolved(config: "Config", shards: Path, out: Path) -> str:
    from jobs.config import to_yaml

    assert config.pretrain is not None
    places = {"shards": str(shards), "out": str(out), "preset": None}
    resolved = config.model_copy(update={"pretrain": config.pretrain.model_copy(update=places)})
    return to_yaml(resolved, exclude=UNREAD)
