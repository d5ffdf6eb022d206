"""A refresh as Prometheus metrics, text exposition format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).

All are gauges that stand until the next refresh: a batch job is not scraped, its file is read by node_exporter's
textfile collector. What a refresh does not know is absent, never zero. The official client would be a dependency for 30
lines.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, get_args

from tokensieve.jobs.releases.refresh_run import State
from tokensieve.jobs.releases.release_report import RefreshFile, ReleaseReport, Verdict

if TYPE_CHECKING:
    from tokensieve.jobs.releases.release import Release

PREFIX = "tokensieve_refresh_"
HELP = {
    "last_success_timestamp_seconds": "When a refresh last ended well.",
    "last_run_timestamp_seconds": "When the last refresh ended, well or not.",
    "last_new_source_timestamp_seconds": "When the newest release was made that has new or changed source files.",
    "state": "1 for the state of the last refresh.",
    "exit_code": "Exit code of the last refresh.",
    "wall_seconds": "Wall time of the last refresh.",
    "duration_seconds": "Wall time of each step that the last refresh ran.",
    "documents": "Documents of the newest release by action; quarantine: could not be scored.",
    "quarantined_share": "Share of documents that could not be scored; of=written: in files written in that refresh.",
    "quarantine_tolerance": "Share of written documents above which a refresh fails.",
    "sources": "Source files of the newest release against the one before; broken: all that could not be taken.",
    "forget_share": "Share of the text's bytes in the policy's forget spans.",
    "drift_psi": "Population stability index of the document scores of written files against earlier ones.",
    "drift_p_value": "P-value of the Kolmogorov-Smirnov test of the same.",
    "drift_verdict": "1 for what the index amounts to.",
    "tokens": "Pretraining tokens in the newest release's shards.",
    "loss_tokens": "Of them, those that bear loss.",
    "device_seconds": "Seconds in which a device had a task, summed over devices, in the last refresh.",
    "dollars": "Cost of these at score.cost.dollars_per_device_hour.",
    "release_version": "The newest release.",
}

Sample = tuple[str, Mapping[str, str], float]
"""Metric name without the prefix, labels, value."""


def exposition(
    common: Mapping[str, str],
    run: RefreshFile,
    release: "Release | None",
    *,
    tolerance: float,
    priced: bool,
) -> str:
    """The whole file.

    Args:
        common: labels of every sample, which tell this corpus from others on one machine.
        tolerance: `score.quarantine_tolerance`. priced: whether a device hour has a price.
    """
    samples = [
        *_run(run, tolerance),
        *_device(run, priced),
        *(_release(release) if release else ()),
        *(_report(run.report) if run.report else ()),
    ]
    lines = []
    for name, help_text in HELP.items():
        found = [sample for sample in samples if sample[0] == name]
        if found:
            lines += [f"# HELP {PREFIX}{name} {help_text}", f"# TYPE {PREFIX}{name} gauge"]
            lines += [_line(name, {**common, **labels}, value) for _, labels, value in found]
    return "\n".join(lines) + "\n"


def _run(run: RefreshFile, tolerance: float) -> Iterable[Sample]:
    yield from _time("last_success_timestamp_seconds", run.last_success_at)
    yield from _time("last_run_timestamp_seconds", run.ended_at)
    for state in get_args(State):
        yield "state", {"state": state}, float(run.state == state)
    yield "exit_code", {}, run.exit_code
    yield "wall_seconds", {}, round(run.duration_s, 3)
    for step, seconds in run.seconds.items():
        yield "duration_seconds", {"step": step}, seconds
    yield "quarantine_tolerance", {}, tolerance
    if run.gate:
        yield "quarantined_share", {"of": "written"}, run.gate.share


def _device(run: RefreshFile, priced: bool) -> Iterable[Sample]:
    """A refresh that ended well without scoring took no device; of a failed one nobody knows."""
    if run.device:
        yield "device_seconds", {}, run.device.device_s
    elif run.state != "failed":
        yield "device_seconds", {}, 0
    dollars = run.device.dollars if run.device else 0.0 if priced and run.state != "failed" else None
    if dollars is not None:
        yield "dollars", {}, dollars


def _release(release: "Release") -> Iterable[Sample]:
    yield "release_version", {}, release.version
    for action, count in release.documents.items():
        if action != "in":
            yield "documents", {"action": action}, count
    whole = release.documents["in"]
    yield "quarantined_share", {"of": "all"}, release.documents["quarantine"] / whole if whole else 0.0
    yield "tokens", {}, release.tokens
    yield "loss_tokens", {}, release.loss_tokens


def _report(report: ReleaseReport) -> Iterable[Sample]:
    yield from _time("last_new_source_timestamp_seconds", report.last_new_at)
    for state, count in report.sources.counts.items():
        yield "sources", {"state": state}, count
    for policy in report.drift:
        yield "forget_share", {"policy": policy}, report.totals.forget_share(policy)
    for policy, drift in report.drift.items():
        if drift.difference.psi is not None and drift.difference.p_value is not None:
            yield "drift_psi", {"policy": policy}, drift.difference.psi
            yield "drift_p_value", {"policy": policy}, drift.difference.p_value
        for verdict in get_args(Verdict):
            yield "drift_verdict", {"policy": policy, "verdict": verdict}, float(drift.verdict == verdict)


def _time(name: str, at: datetime | None) -> Iterable[Sample]:
    if at is not None:
        yield name, {}, at.timestamp()


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{PREFIX}{name}{{{inside}}} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
