"""Sample documents on the page: each token (or, in a dropped document, each span) drawn by what training does to it."""

from jobs.reporting.facts import Run, SampleDocument
from jobs.reporting.html import e
from jobs.visible import one_line

OPEN = 6  # so many documents are unfolded at first


def sample_cards(samples: tuple[SampleDocument, ...], *, exported: bool) -> list[str]:
    """The section of the page with all samples; `exported` says whether there are shards to take them from."""
    if not samples:
        return []
    legend = (
        '<p class="legend"><span>takes loss</span><span class="n">no loss</span>'
        '<span class="s">part of a character without loss</span><span class="h">hidden</span></p>'
    )
    origin = (
        "Tokens and loss mask are read back from the shards and decoded with the pretraining tokenizer; hold the "
        "pointer over a token for the classifier's scores of it. Dropped documents come from the masked table."
        if exported
        else "From the masked table, since nothing is exported yet."
    )
    return [
        f'<h2>Sample documents</h2><p class="dim">{origin}</p>{legend}',
        *(_sample(document, at) for at, document in enumerate(samples)),
    ]


def _sample(document: SampleDocument, at: int) -> str:
    cut = f'<p class="dim">Shown: {document.shown}.</p>' if document.shown else ""
    dropped = " d" if document.action == "drop" else ""
    badge = f'<span class="badge b-{e(document.action)}">{e(document.action)}</span>'
    return (
        f"<details{' open' * (at < OPEN)}><summary>{badge} <code>{e(one_line(document.doc_id, 120))}</code></summary>"
        f'<p class="dim">{e(one_line(document.source, 160))}; {e(document.facts)}</p>'
        f'<div class="text{dropped}" dir="auto" id="d{at}">{"".join(map(_run, document.runs))}</div>{cut}</details>'
    )


def _run(run: Run) -> str:
    kind = "h" if run.hidden else {"loss": "", "none": "n", "some": "s"}[run.loss]
    tokens = str(run.tokens) if run.tokens > 1 else ""  # a span that says nothing is one token
    attributes = {"class": kind, "title": run.title, "data-tokens": tokens}
    written = "".join(f' {name}="{e(value)}"' for name, value in attributes.items() if value)
    return f"<span{written}>{e(run.text)}</span>"
