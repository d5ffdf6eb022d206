"""A policy on the page: its definition in words, its rule, and where its threshold lies among the scores."""

from jobs.reporting.chart import histogram
from jobs.reporting.facts import PolicyFacts
from jobs.reporting.html import bullets, e


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
