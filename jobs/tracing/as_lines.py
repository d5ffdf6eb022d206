"""A trace for people: the stations as lines for a terminal, in which no text of a document can do harm."""

from collections.abc import Iterator
from typing import Any

from tokensieve.jobs.pages.html import one_line

PIECES = 10
SPANS = 12


def lines(found: dict[str, Any]) -> list[str]:
    """The lines; `found` is what `jobs.trace.run` gathered."""
    stations = [
        [f"document {one_line(found['doc_id'], 200)}"],
        ["1 raw row", *_raw(found["raw"])],
        *([["! quarantine", *_quarantine(found["quarantine"])]] if "quarantine" in found else []),
        *([["2 scores", *_scores(found["scores"])]] if "scores" in found else []),
        *([["3 masked", *_masked(found["masked"])]] if "masked" in found else []),
        *([["4 shard", *_shard(found["shard"])]] if "shard" in found else []),
        *([["5 training samples", *_training(found["training"])]] if "training" in found else []),
    ]
    return [line for station in stations for line in station]


def _line(name: str, value: object) -> str:
    return f"  {name:<14}{value}"


def _raw(raw: dict[str, Any]) -> Iterator[str]:
    row = "" if raw["row"] is None else f", row {raw['row']}"
    yield _line("file", f"{one_line(raw['file'], 200)}{row}")
    if raw["version_then"]:
        same = raw["version_then"] == raw["version_now"]
        yield _line("version", f"{raw['version_then']}, {'unchanged' if same else 'now ' + str(raw['version_now'])}")
    if raw["fault"]:
        yield _line("not readable", one_line(raw["fault"], 300))
        return
    then, now = raw["text_hash_then"], raw["text_hash_now"]
    verdict = "" if then is None else ", as scored" if then == now else f", but {then} was scored"
    yield _line("text", f"{raw['text_bytes']:,} bytes, hash {now}{verdict}")
    yield _line("begins", one_line(raw["begins"], 90))


def _quarantine(row: dict[str, Any]) -> Iterator[str]:
    yield _line("reason", row["reason"])
    yield _line("detail", one_line(row["detail"] or "", 300))


def _scores(policies: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name, scores in policies.items():
        score = "no document score" if scores["doc_score"] is None else f"document score {scores['doc_score']:.4f}"
        flags = f", {', '.join(scores['flags'])}" if scores["flags"] else ""
        yield _line(name, f"bundle {scores['bundle_id']}, {scores['tokens']:,} tokens, {score}{flags}")
        shown = "  ".join(f"{one_line(token['text'], 24)!r} {token['score']:.4f}" for token in scores["highest"])
        yield _line("  highest", shown)


def _masked(masked: dict[str, Any] | None) -> Iterator[str]:
    if masked is None:
        yield _line("missing", "no masked table has it yet; run `tokensieve mask`")
        return
    spans = masked["forget_spans"]
    yield _line(
        "action",
        f"{masked['action']}, {masked['forget_bytes']:,} bytes in {len(spans)} spans, rule {masked['rule_id']}",
    )
    for policy, threshold in masked["spared"].items():
        yield _line(f"  {policy}", f"left whole: its document score is below the cascade's {threshold:.4g}")
    for span in spans[:SPANS]:
        yield _line(f"  {span['policy']}", f"{span['start']}:{span['end']} {one_line(span['text'])!r}")
    if len(spans) > SPANS:
        yield _line("", f"and {len(spans) - SPANS} more spans")


def _shard(shard: dict[str, Any]) -> Iterator[str]:
    if "missing" in shard:
        yield _line("none", shard["missing"])
        return
    yield _line("shard", f"{shard['shard']}, document {shard['index']}")
    yield _line("tokens", f"{shard['tokens']:,}, of them {shard['loss_tokens']:,} take loss")
    for run in shard["without_loss"]:
        yield _line("  no loss", f"{run['first']}:{run['end']} {one_line(run['text'])!r}")
    if shard["runs_without_loss"] > len(shard["without_loss"]):
        yield _line("", f"and {shard['runs_without_loss'] - len(shard['without_loss'])} more runs")


def _training(training: dict[str, Any]) -> Iterator[str]:
    if "missing" in training:
        yield _line("none", training["missing"])
        return
    pieces = training["pieces"]
    if not pieces:
        yield _line("none", f"no sample of {training['seq_length']} tokens reaches it; it lies at the end of its shard")
    for piece in pieces[:PIECES]:
        when = "after the last step" if piece["step"] is None else f"step {piece['step']}"
        verdicts = {True: "as in the shard", False: "NOT as in the shard", None: "by the run's own filter"}
        verdict = verdicts[piece["agrees_with_shard"]]
        yield _line(
            f"sample {piece['sample']}",
            f"epoch {piece['epoch']}, {when}: tokens {piece['first']}:{piece['end']} from place {piece['at']}, "
            f"{piece['labels']} labels, {piece['loss_labels']} take loss, {verdict}",
        )
    if len(pieces) > PIECES:
        yield _line("", f"and {len(pieces) - PIECES} more samples")
