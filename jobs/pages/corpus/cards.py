"""Cards of the corpus page: a policy with its rule and its threshold among the scores, and sample documents.

In a sample each token (in a dropped document, each span) is drawn by what training does to it.
"""

from tokensieve.jobs.pages.charts import histogram
from tokensieve.jobs.pages.corpus.facts import PolicyFacts, Run, SampleDocument
from tokensieve.jobs.pages.html import bullets, e, one_line

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


def policy_card(policy: PolicyFacts) -> list[str]:
    """One policy's section of the page."""
    definition, rule = policy.definition, policy.rule.rule
    tokens = histogram(policy.scores.tokens_B, what="tokens", threshold=policy.rule.threshold)
    line = rule.drop_document_score or policy.rule.cascade_threshold
    documents = histogram(policy.scores.documents_B, what="documents", threshold=line, bin_width=4)
    unscored = f"; {policy.scores.unscored:,} without a token have no score" if policy.scores.unscored else ""
    excluded = f"<div><h3>Stays</h3>{bullets(definition.exclude)}</div>" if definition.exclude else ""
    return [
        f"<h2>Policy <code>{e(policy.name)}</code></h2>",
        f'<div class="card"><p>{e(definition.description)}</p>',
        f'<div class="two"><div><h3>Is forgotten</h3>{bullets(definition.include)}</div>{excluded}</div>',
        f"<h3>Rule</h3><div>{_rule(policy)}</div>",
        f'<div class="two"><div><h3>Token scores</h3>{tokens}'
        f'<p class="dim">{int(policy.scores.tokens_B.sum()):,} classifier tokens</p></div>',
        f"<div><h3>Document scores</h3>{documents}"
        f'<p class="dim">{int(policy.scores.documents_B.sum()):,} documents{unscored}</p></div></div></div>',
    ]


def _rule(policy: PolicyFacts) -> str:
    rule, threshold = policy.rule.rule, policy.rule.threshold
    whose = "" if rule.threshold else ", the bundle's own"
    chips = [f"action {rule.action}", f"threshold {threshold:.4g}{whose}"]
    if rule.low_threshold:
        chips.append(f"spans go on down to {rule.low_threshold:.4g}")
    chips.append(f"runs of {rule.min_tokens} or more tokens")
    if rule.bridge_tokens:
        chips.append(f"gaps up to {rule.bridge_tokens} tokens are bridged")
    if rule.dilate_tokens:
        chips.append(f"spans grow by {rule.dilate_tokens} tokens")
    if policy.rule.cascade_threshold is not None:
        own = "" if rule.cascade_threshold else ", the bundle's cascade"
        chips.append(f"documents below score {policy.rule.cascade_threshold:.4g} stay whole{own}")
    if rule.drop_share is not None:
        chips.append(f"dropped above {rule.drop_share:.0%} forgotten bytes")
    if rule.drop_document_score is not None:
        chips.append(f"dropped from document score {rule.drop_document_score:.4g}")
    return "".join(f'<span class="chip">{chip}</span>' for chip in chips)
