"""An Airflow DAG: refresh a corpus every night, judge the refresh, export the shards, train on them.

Put this file into the DAGs folder (Airflow 3.3). Every task is one call of the command line, so the workers need
`tokensieve` or spark-submit, but not our code in Airflow's own environment. Where and how it is called stands in the
Airflow Variable `tokensieve` (`Settings`); what a person may choose for one run are the DAG's params.
"""

import json
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, BaseOperator, Context, ObjectStoragePath, Param, Variable, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

VARIABLE = "tokensieve"
NEVER_RETRY = {
    2: "the configuration or an input is wrong",
    3: "more was quarantined than score.quarantine_tolerance allows",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The Variable `tokensieve`, a JSON object. It holds no secret: those stay in the workers' environment."""

    config: str
    """The corpus's YAML file, or a preset's name."""
    root: str
    """Becomes `tables.root`: a folder that all workers see, or a folder on an object store."""
    variant: str | None = None
    """Becomes `tables.variant`, and then the refresh is told in `refresh-<variant>.json`."""
    overrides: list[str] = field(default_factory=list)
    """Further `key.key=value`."""
    command: str = "tokensieve"
    """What runs verbs without Spark."""
    spark_command: str = "tokensieve {verb}"
    """What runs Spark verbs, such as `spark-submit --py-files tokensieve-0.1.0-py3-none-any.whl jobs/{verb}.py`."""
    folder: str | None = None
    """Where commands run; None: in an empty folder, so that paths must be absolute."""
    environment: dict[str, str] = field(default_factory=dict)
    """Added to the worker's environment."""
    export_to: str | None = None
    """Becomes `export.to`: where shards are copied once the refresh has passed the gate."""
    runs: str | None = None
    """A folder for training runs, one below it for each release; None: nothing is trained."""

    @classmethod
    def load(cls) -> "Settings":
        """Reads the Variable. Raises AirflowFailException that names what is wrong with it."""
        found = Variable.get(VARIABLE, default=None, deserialize_json=True)
        if not isinstance(found, dict):
            raise AirflowFailException(f"Variable {VARIABLE}: set it to a JSON object with at least config and root")
        known = {one.name for one in fields(cls)}
        wrong = sorted(found.keys() - known) + sorted({"config", "root"} - found.keys())
        if wrong:
            raise AirflowFailException(
                f"Variable {VARIABLE}: {', '.join(wrong)} unknown or missing; keys are {', '.join(sorted(known))}"
            )
        return cls(**found)

    def call(self, verb: str, *, spark: bool, more: list[str]) -> list[str]:
        """The words of one call."""
        words = [word.replace("{verb}", verb) for word in shlex.split(self.spark_command)]
        program = words if spark else [*shlex.split(self.command), *verb.split()]
        ours = [f"tables.root={self.root}", *([f"tables.variant={self.variant}"] if self.variant else [])]
        return [*program, "--config", self.config, "--json", *self.overrides, *ours, *more]

    def run(self) -> dict[str, Any]:
        """What the last refresh wrote: `<root>/refresh.json`, or the variant's."""
        root = self.root if "://" in self.root else f"file://{os.path.abspath(self.root)}"
        name = f"refresh-{self.variant}.json" if self.variant else "refresh.json"
        path = ObjectStoragePath(f"{root.replace('s3a://', 's3://', 1)}/{name}")
        return json.loads(path.read_text())


class Tokensieve(BaseOperator):
    """One call of the command line. Exit codes 2 and 3 need a person and are not tried again, others are."""

    def __init__(
        self,
        *,
        verb: str,
        spark: bool = True,
        more: Callable[[Settings, Context], list[str]] = lambda settings, context: [],
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.verb = verb
        self.spark = spark
        self.more = more
        self._process = SubprocessHook()

    def execute(self, context: Context) -> None:
        settings = Settings.load()
        command = settings.call(self.verb, spark=self.spark, more=self.more(settings, context))
        done = self._process.run_command(command, env=os.environ | settings.environment, cwd=settings.folder)
        if done.exit_code in NEVER_RETRY:
            raise AirflowFailException(
                f"tokensieve {self.verb} ended with code {done.exit_code}: {NEVER_RETRY[done.exit_code]}; see the "
                "message above, correct it, and clear this task"
            )
        if done.exit_code:
            raise AirflowException(f"tokensieve {self.verb} ended with code {done.exit_code}; running it again is safe")

    def on_kill(self) -> None:
        self._process.send_sigterm()


@task(retries=0)
def gate() -> int:
    """Judges the refresh by refresh.json; returns the release. Nothing new: what follows is skipped."""
    run, params = Settings.load().run(), get_current_context()["params"]
    if params["accept"]:
        return run["release"]
    if run["state"] == "nothing_new":
        raise AirflowSkipException(f"nothing new since release {run['release']}")
    faults = faults_of(run, params)
    if faults:
        raise AirflowFailException(
            "; ".join(faults) + ". Look at refresh.html beside refresh.json; to go on all the same, trigger this DAG "
            "with the param accept"
        )
    return run["release"]


def faults_of(run: dict[str, Any], params: Any) -> list[str]:
    """Why nobody should train on this release yet: one sentence each, none if it is good."""
    report = run["report"]
    if run["state"] != "done" or report is None:
        return [f"refresh.json says {run['state']} and has no report to judge by: {run['error'] or run['warnings']}"]
    faults = []
    documents = run["documents"]
    share = documents["quarantine"] / documents["in"] if documents["in"] else 0.0
    if share > params["max_quarantine_share"]:
        faults.append(f"{share:.2%} of the documents are quarantined, more than {params['max_quarantine_share']:.2%}")
    moved = sorted(name for name, drift in report["drift"].items() if drift["verdict"] == "alarm")
    if moved and params["stop_on_drift"]:
        faults.append(f"the scores of {', '.join(moved)} have drifted")
    before, after = _forget_shares(report["before"]), _forget_shares(report["totals"])
    for policy in sorted(before.keys() & after.keys()):
        if abs(after[policy] - before[policy]) > params["max_forget_jump"]:
            faults.append(f"the forget share of {policy} went from {before[policy]:.2%} to {after[policy]:.2%}")
    return faults


def _forget_shares(totals: dict[str, Any] | None) -> dict[str, float]:
    """Policy to its share of the text's bytes; nothing before the first release."""
    if not totals or not totals["text_bytes"]:
        return {}
    return {policy: size / totals["text_bytes"] for policy, size in totals["forget_bytes"].items()}


def _export(settings: Settings, context: Context) -> list[str]:
    return [f"export.to={settings.export_to}"] if settings.export_to else []


def _launch(settings: Settings, context: Context) -> list[str]:
    if settings.runs is None:
        raise AirflowSkipException(f"Variable {VARIABLE} has no `runs`: nothing is trained")
    release = context["ti"].xcom_pull(task_ids="gate")
    return ["--submit", f"pretrain.out={settings.runs}/release-{release:08d}"]


with DAG(
    dag_id="tokensieve_refresh",
    description="Score, mask and export what is new in a corpus; train on it if the refresh is good",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # tokensieve's own lock would stop a second one, too
    default_args={"retries": 2, "retry_delay": timedelta(minutes=10)},
    params={
        "max_quarantine_share": Param(0.02, type="number", minimum=0, maximum=1, description="of all documents"),
        "max_forget_jump": Param(
            0.05, type="number", minimum=0, maximum=1, description="share of the text, per policy"
        ),
        "stop_on_drift": Param(True, type="boolean", description="stop where refresh.json says `alarm`"),
        "accept": Param(False, type="boolean", description="go on with the newest release, whatever the gate says"),
    },
    tags=["tokensieve"],
) as dag:
    refresh = Tokensieve(task_id="refresh", verb="refresh")
    export = Tokensieve(task_id="export", verb="export", more=_export)
    launch = Tokensieve(task_id="launch", verb="pretrain launch", spark=False, more=_launch)
    refresh >> gate() >> export >> launch
