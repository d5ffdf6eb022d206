"""Writes the bundle's card, README.md, from measured figures alone, so that card and bundle.json cannot disagree."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tokensieve.pretrain.classifier.config import FitConfig
from tokensieve.pretrain.classifier.figures import Figures
from tokensieve.pretrain.measuring.bootstrap import Estimate
from tokensieve.pretrain.measuring.schema import MODEL, Row, ScorerFigures, SetReport
from tokensieve.udfs.bundles.bundle_spec import BundleDraft, TrainingData


def card(draft: BundleDraft, figures: Figures, tokens_drawn: int, config: FitConfig) -> str:
    """The card in Markdown, with what the recipe says of licence and limits."""
    licence = f"Licence of the weights: {config.license}. " if config.license else ""
    return f"""# {draft.name}

A token classifier for the policy `{draft.policy}`: a bidirectional encoder of the type
`{draft.encoder["type"]}`{_reach(draft)}, a token head, and a document head (logistic regression on the
mean feature). Made with `tokensieve fit --config conf/classifiers/{draft.name}.yaml`.

{licence}Weights as safetensors, the encoder's in float16.

Encoder: {_shape(draft)}.

Thresholds: {_thresholds(draft)}.

## Figures

Measured {datetime.now(UTC):%d %B %Y} on {_machine(config)}, in fp32, on scores rounded to the
stored grid (steps of 1/16 logit). In brackets 95 % intervals from 1,000 bootstrap draws of documents; a lead is the
model's figure minus a baseline's on the same draws. {_baselines(figures)}

AUROC per token:

{_aurocs(figures)}

{_losses(figures)}

At the calibrated thresholds. Precision, F1 and average precision depend on how many of the units are positive: *half
and half* weighs both classes the same, *at prevalence* takes the documents as they are.

{_operating(figures)}

By domain of the held-out documents, model alone:

{_domains(figures)}

What the rows measure:

{_definitions(figures)}

## Training data

{sum(source.documents for source in draft.training_data):,} documents; {tokens_drawn / 1e6:.1f} million tokens were
drawn from them. Documents whose label is marked borderline, and those under licences that the recipe does not list,
were left out of training. The weights hold no text. Attribution, by source repository:

{_sources(draft.training_data)}
{_notes(config.notes)}
## Limits

* The label is a source's, not a reader's, where the recipe has coarse labels: "{draft.policy}" then means "from a
  source about it", near the policy but not it.
* Other registers and languages than those of the training data are untested.
* Thresholds are for this bundle's scores only. Where forbidden text is rarer than here, precision is lower than in the
  table: calibrate again (`tokensieve calibrate`).
"""


def _machine(config: FitConfig) -> str:
    cores = f"{config.threads} cores of {_processor()}"
    return cores if config.device == "cpu" else f"{config.device} with {cores}"


def _notes(notes: str) -> str:
    return f"\n{notes.strip()}\n" if notes.strip() else ""


def _reach(draft: BundleDraft) -> str:
    if draft.encoder["type"] != "sliding":
        return ""
    tokens = int(str(draft.encoder["layers"])) * int(str(draft.encoder["reach"]))
    return f" that reads {tokens} tokens to each side"


def _shape(draft: BundleDraft) -> str:
    shown = {key: value for key, value in draft.encoder.items() if key != "type" and not isinstance(value, dict)}
    return ", ".join(f"{key} {value}" for key, value in shown.items())


def _thresholds(draft: BundleDraft) -> str:
    return "; ".join(f"{unit} {chosen.value:.4f} ({chosen.how})" for unit, chosen in draft.thresholds.items())


def _baselines(figures: Figures) -> str:
    if not figures.baselines.lexicons:
        return "No baseline was measured."
    smooth = {name: words.smooth for name, words in figures.baselines.lexicons.items()}
    return (
        "The baselines are one log-odds\nper word, learned from the same training documents: `word` is that of the "
        f"word alone, `lexicon` averages it over\n{smooth['lexicon']} words to each side (the best small window on the "
        f"calibration documents), and `passage` over {smooth['passage']} words to each side,\nwhich is a naive Bayes "
        "classifier of the surroundings."
    )


def _token_rows(figures: Figures) -> Iterator[tuple[SetReport, Row]]:
    """The whole of each set, and the negatives of each domain against all positives."""
    for one in figures.sets:
        for row in one.rows:
            if row.unit == "token" and (row.kind == "all" or (row.kind == "domain" and row.borrowed != "negatives")):
                yield one, row


def _title(one: SetReport, row: Row) -> str:
    return one.name if row.kind == "all" else f"{one.name}, {_group(row)}"


def _group(row: Row) -> str:
    return f"against {row.group}" if row.borrowed == "positives" else row.group


def _aurocs(figures: Figures) -> str:
    scorers, compared = [MODEL, *figures.baselines.lexicons], list(figures.baselines.lexicons)
    titles = [*scorers, *(f"lead over {who}" for who in compared)]
    lines = ["| tokens | positive | negative | " + " | ".join(titles) + " |", "|---|---:|---:|" + "---|" * len(titles)]
    for one, row in _token_rows(figures):
        best = max((row.scorers[who].auroc.value or 0.0 for who in compared), default=0.0)
        cells = [_bold(row.scorers[who].auroc, who != MODEL and _at_least(row, who, best)) for who in scorers]
        cells += [_lead(row.differences[who]["auroc"]) for who in compared]
        lines.append(f"| {_title(one, row)} | {row.positives:,} | {row.negatives:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _at_least(row: Row, who: str, best: float) -> bool:
    """Whether the baseline is the best one, and at least as good as the model."""
    value, model = row.scorers[who].auroc.value, row.scorers[MODEL].auroc.value
    return value is not None and model is not None and value >= model and value == best


def _bold(estimate: Estimate, strong: bool) -> str:
    return f"**{estimate.text()}**" if strong else estimate.text()


def _lead(estimate: Estimate) -> str:
    if estimate.value is None:
        return "undecided"
    sure = "" if estimate.excludes_zero else ", may be 0"
    interval = "" if estimate.low is None or estimate.high is None else f" [{estimate.low:+.3f}, {estimate.high:+.3f}]"
    return _strong(f"{estimate.value:+.3f}{interval}{sure}", estimate.value <= 0)


def _strong(text: str, strong: bool) -> str:
    return f"**{text}**" if strong else text


def _losses(figures: Figures) -> str:
    """Says plainly where a baseline is at least as good as the model, and where the lead over one may be chance."""
    lost, unsure = [], []
    for one, row in _token_rows(figures):
        for who, differences in row.differences.items():
            lead = differences["auroc"]
            if lead.value is not None and lead.value <= 0:
                lost.append(f"{_title(one, row)} (`{who}`)")
            elif not lead.excludes_zero:
                unsure.append(f"{_title(one, row)} (`{who}`)")
    if not lost and not unsure:
        return "The model is above the baselines in every row, by leads whose intervals exclude zero."
    parts = []
    if lost:
        parts.append("**A baseline is at least as good as the model here:** " + "; ".join(lost) + ".")
    if unsure:
        parts.append("The lead over a baseline may be chance here: " + "; ".join(unsure) + ".")
    return "\n\n".join(parts)


def _operating(figures: Figures) -> str:
    lines = [
        "| set | unit | scorer | recall | false-positive rate | precision, F1, average precision half and half "
        "| the same at prevalence |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in figures.sets:
        for row in (row for row in one.rows if row.kind == "all"):
            share = "" if row.prevalence is None else f" (share {row.prevalence:.3f})"
            for who, at in row.scorers.items():
                lines.append(f"| {one.name} | {row.unit}s | {who} | {_at_threshold(at)}{share} |")
    return "\n".join(lines)


def _at_threshold(at: ScorerFigures) -> str:
    shares = [", ".join(e.text() for e in (s.precision, s.f1, s.average_precision)) for s in (at.balanced, at.natural)]
    return f"{at.recall.text()} | {at.false_positive_rate.text()} | {shares[0]} | {shares[1]}"


def _domains(figures: Figures) -> str:
    lines = [
        "| domain | unit | documents | AUROC | recall | false-positive rate | F1 half and half | F1 at prevalence |",
        "|---|---|---:|---|---|---|---|---|",
    ]
    for one in figures.sets:
        for row in (row for row in one.rows if row.kind == "domain"):
            at = row.scorers[MODEL]
            figures_of = (at.auroc, at.recall, at.false_positive_rate, at.balanced.f1, at.natural.f1)
            cells = " | ".join("" if e.value is None else e.text() for e in figures_of)
            lines.append(f"| {_group(row)} | {row.unit}s | {row.documents:,} | {cells} |")
    return "\n".join(lines)


def _definitions(figures: Figures) -> str:
    lines = [f"* {one.name}: {one.definition}" for one in figures.sets if one.definition]
    lines.append("* Against a domain: the positive units of the whole set against the negative ones of that domain.")
    return "\n".join(lines)


def _sources(data: list[TrainingData]) -> str:
    lines = ["| source | licence | documents |", "|---|---|---:|"]
    lines += [f"| {source.name} | {source.license} | {source.documents:,} |" for source in data]
    return "\n".join(lines)


def _processor() -> str:
    """The processor's name as the kernel gives it; a card without it would be a figure without its conditions."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].split(":", 1)[1].strip() if names else "an unnamed processor"
