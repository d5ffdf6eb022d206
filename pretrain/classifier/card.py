"""Writes the bundle's card, README.md, from measured figures alone, so that card and bundle.json cannot disagree."""

from datetime import UTC, datetime
from pathlib import Path

from pretrain.classifier.figures import Figures
from pretrain.classifier.measure import Comparison
from udfs.bundle_spec import BundleDraft, TrainingData

_NAMES = {
    "heldout.token": "held-out documents, all tokens",
    "craft.disease_in_biology": "CRAFT: disease tokens against the other tokens of the same biology articles",
    "bc5cdr.spans_in_abstracts": "BC5CDR: disease and chemical tokens against the other tokens of the same abstracts",
    "bc5cdr.spans_against_negatives": "BC5CDR: disease and chemical tokens against tokens of `negatives`",
}


def card(draft: BundleDraft, figures: Figures, tokens_drawn: int, threads: int) -> str:
    """The card in Markdown."""
    reach = int(str(draft.encoder.get("layers", 0))) * int(str(draft.encoder.get("reach", 0)))
    return f"""# {draft.name}

A tiny token classifier for the policy `{draft.policy}`: a bidirectional transformer of the type
`{draft.encoder["type"]}` that reads {reach} tokens to each side, a token head, and a document head (logistic
regression on the mean feature). Trained from scratch on documents that carry only the label of their source, with
`tokensieve fit --config conf/classifiers/{draft.name}.yaml`. It serves quick starts, tests and scoring on CPU
cores; it is not the 224M-parameter classifier of the paper.

Licence of the weights: Apache-2.0. Format: `tokensieve-bundle/1`, weights as safetensors in float16.

Encoder: {_shape(draft)}.

Thresholds: {_thresholds(draft)}.

## Figures

Measured {datetime.now(UTC):%d %B %Y} on {threads} cores of {_processor()}, no GPU, in fp32, on scores rounded to the
stored grid (steps of 1/16 logit). AUROC per token; in brackets 95 % intervals from 1,000 bootstrap draws of
documents. The baselines are one log-odds per word, learned from the same training documents: `word` is that of the
word alone, `lexicon` averages it over {figures.single["lexicon.smooth"]:.0f} words to each side (the best small
window on the calibration documents), and `passage` over {figures.single["passage.smooth"]:.0f} words to each side,
which is a naive Bayes classifier of the surroundings.

{_comparisons(figures)}

{_losses(figures)}

{_operating(figures)}

What the rows measure. Held-out documents were never seen, but their token labels are coarse: every token has the
label of its document, so these rows reward recognising a topic. CRAFT and BC5CDR were annotated by people: these
rows reward finding single terms. BC5CDR marks diseases and chemicals only, so other medical words count as mistakes
there. `negatives` are openings of corpus documents presumed free of medicine; some of them were among the training
documents, for the model and the baselines alike.

## Training data

{sum(source.documents for source in draft.training_data):,} documents; {tokens_drawn / 1e6:.1f} million tokens were
drawn from them into spliced rows. Documents whose label is marked borderline, and those under share-alike (CC BY-SA)
or database (ODC-BY) licences, were left out of training. Texts were cut and spliced; the weights hold no text.
Attribution, by source repository:

{_sources(draft.training_data)}

OpenStax books: © OpenStax, Rice University, CC BY 4.0 (Biology 2014: OpenStax College, CC BY 3.0),
https://openstax.org. MedQuAD: Ben Abacha and Demner-Fushman, BMC Bioinformatics 2019. PLOS articles: their authors.
The Algorithms, the Rust book and Rust by Example: their contributors.

## Limits

* English prose of textbooks, journal articles, web health pages, fiction and source code. Other registers and
  languages are untested.
* The label is a source's, not a reader's: "medical" here means "from a medical source", near the policy but not it.
* It sees {reach} tokens to each side; what is said only farther away it does not know.
* Thresholds are for this bundle's scores only. Where medicine is rarer than here, precision is lower than in the
  table: calibrate again.
"""


def _shape(draft: BundleDraft) -> str:
    return ", ".join(f"{key} {value}" for key, value in draft.encoder.items() if key != "type")


def _thresholds(draft: BundleDraft) -> str:
    return "; ".join(f"{unit} {chosen.value:.4f} ({chosen.how})" for unit, chosen in draft.thresholds.items())


def _comparisons(figures: Figures) -> str:
    scorers = list(figures.comparisons[0].auroc)
    lines = [
        "| tokens | positive | negative | " + " | ".join(scorers) + " |",
        "|---|---:|---:|" + "---|" * len(scorers),
    ]
    for row in figures.comparisons:
        cells = [f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in row.auroc.values()]
        lines.append(f"| {_title(row)} | {row.positives:,} | {row.negatives:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _title(row: Comparison) -> str:
    return _NAMES.get(row.name, row.name.replace("heldout.token.against_", "held-out, against "))


def _losses(figures: Figures) -> str:
    """Says plainly where a baseline is at least as good as the model."""
    lost = [
        f"{_title(row)} (`{who}`)"
        for row in figures.comparisons
        for who, values in row.auroc.items()
        if who != "model" and values[0] >= row.auroc["model"][0]
    ]
    if not lost:
        return "The model is above the baselines in every row."
    return "**A baseline is at least as good as the model here:** " + "; ".join(lost) + "."


def _operating(figures: Figures) -> str:
    lines = [
        "| held-out, at the calibrated threshold | average precision | recall | precision, F1 half and half "
        "| precision, F1 at the corpus's share |",
        "|---|---|---|---|---|",
    ]
    for unit, name in (
        ("heldout.token.model", "tokens, model"),
        ("heldout.token.word", "tokens, word"),
        ("heldout.token.lexicon", "tokens, lexicon"),
        ("heldout.token.passage", "tokens, passage"),
        ("heldout.document.model", "documents, model"),
    ):
        at = {key.removeprefix(unit + "."): value for key, value in figures.single.items() if key.startswith(unit)}
        lines.append(
            f"| {name} | {at['average_precision']:.3f} | {at['recall']:.3f} "
            f"| {at['balanced.precision']:.3f}, {at['balanced.f1']:.3f} "
            f"| {at['natural.precision']:.3f}, {at['natural.f1']:.3f} (share {at['prevalence']:.3f}) |"
        )
    return "\n".join(lines) + f"\n\nDocument AUROC: {figures.single['heldout.document.model.auroc']:.4f}."


def _sources(data: list[TrainingData]) -> str:
    lines = ["| source | licence | documents |", "|---|---|---:|"]
    lines += [f"| {source.name} | {source.license} | {source.documents:,} |" for source in data]
    return "\n".join(lines)


def _processor() -> str:
    """The processor's name as the kernel gives it; a card without it would be a figure without its conditions."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].split(":", 1)[1].strip() if names else "an unnamed processor"
