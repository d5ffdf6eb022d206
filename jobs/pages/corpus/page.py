"""Facts to one self-contained HTML page: inline style, inline SVG, no script, nothing loaded from anywhere.

Every string that came from a corpus or a configuration goes through `html.e`.
"""

from tokensieve.jobs.pages.corpus.cards import policy_card, sample_cards
from tokensieve.jobs.pages.corpus.facts import ExportFacts, Facts, SourceFacts
from tokensieve.jobs.pages.frame import html_document, names, tiles, warning
from tokensieve.jobs.pages.html import PARTS, e, meter, one_line, reason_table, share
from tokensieve.jobs.spark.progress import size


def page(facts: Facts) -> str:
    """The whole page. The same facts give the same bytes."""
    body = [
        *_header(facts),
        *_warnings(facts),
        _tiles(facts),
        *_balance(facts),
        *(part for policy in facts.policies for part in policy_card(policy)),
        *_sources(facts),
        *sample_cards(facts.samples, exported=facts.export is not None),
        *_names(facts),
    ]
    return html_document(facts.corpus, body)


def _header(facts: Facts) -> list[str]:
    masked = facts.tables[-1]
    return [
        f"<header><h1>{e(one_line(facts.corpus, 200))}</h1>",
        f'<p class="dim">tokensieve report on <code>{e(facts.root)}</code>, ',
        f"masked table of {masked.written}</p></header>",
    ]


def _warnings(facts: Facts) -> list[str]:
    if facts.export is None:
        text = "Counts of tokens are missing. Run <code>tokensieve export</code>."
        return [warning("There are no shards yet", text)]
    if facts.export.stale:
        text = "Token counts and samples below are of the shards as they are. Run <code>tokensieve export</code>."
        return [warning("The shards were not made from this masked table", text)]
    return []


def _tiles(facts: Facts) -> str:
    total = facts.total
    figures = [
        ("documents in", f"{facts.documents['in']:,}"),
        ("text in the masked table", size(total.text_bytes, "B")),
        ("of its bytes in forget spans", share(total.forget_bytes, total.text_bytes)),
    ]
    if facts.export:
        without = facts.export.tokens - facts.export.loss_tokens
        figures += [
            ("tokens in the shards", f"{facts.export.tokens:,}"),
            ("tokens that bear loss", f"{facts.export.loss_tokens:,}"),
            ("of the tokens without loss", share(without, facts.export.tokens)),
        ]
    return tiles(figures)


def _balance(facts: Facts) -> list[str]:
    total = facts.documents["in"]
    bars = "".join(
        f'<i class="k-{name}" style="flex-grow:{facts.documents[name]}" title="{name}: {facts.documents[name]:,}"></i>'
        for name in PARTS
        if facts.documents[name]
    )
    rows = [
        f'<tr><td><i class="dot k-{name}"></i>{name}</td><td class="num">{facts.documents[name]:,}</td>'
        f'<td class="num">{share(facts.documents[name], total)}</td><td class="dim">{meaning}</td></tr>'
        for name, meaning in PARTS.items()
    ]
    parts = sum(facts.documents[name] for name in PARTS)
    verdict = "the parts sum to it" if parts == total else f"but the parts sum to {parts:,}"
    rows.append(
        f'<tr class="sum"><td>in</td><td class="num">{total:,}</td><td></td><td class="dim">{verdict}</td></tr>'
    )
    head = '<tr><th>documents</th><th class="num">count</th><th class="num">share</th><th></th></tr>'
    table = f'<div class="card"><div class="stack">{bars}</div><table>{head}{"".join(rows)}</table>'
    return ["<h2>What happened to every document</h2>", table + reason_table(facts.quarantine) + "</div>"]


def _sources(facts: Facts) -> list[str]:
    shown, files = len(facts.sources), facts.source_files
    note = f"The {shown} largest of {files:,} files." if files > shown else f"{files:,} file{'s' * (files != 1)}."
    note += " Forgotten bytes count dropped documents too; tokens are those of the shards, without them."
    exported = facts.export is not None
    tokens = '<th class="num">tokens</th><th>without loss</th>' if exported else ""
    head = (
        '<tr><th>source file</th><th class="num">documents</th><th>not kept whole</th><th class="num">dropped</th>'
        f'<th class="num">text</th><th>forgotten bytes</th>{tokens}</tr>'
    )
    rows = "".join(_source_row(source) for source in facts.sources)
    table = f"<table>{head}{rows}{_source_row(facts.total)}</table>"
    return [
        f'<h2>What is forgotten, by source</h2><p class="dim">{note}</p>',
        f'<div class="card scroll">{table}</div>',
    ]


def _source_row(source: SourceFacts) -> str:
    name = "all files" if source.file is None else f'<span class="mono">{e(one_line(source.file, 120))}</span>'
    cells = [
        f"<td>{name}</td>",
        f'<td class="num">{source.documents:,}</td>',
        meter(source.touched, source.documents),
        f'<td class="num">{source.dropped:,}</td>',
        f'<td class="num">{size(source.text_bytes, "B")}</td>',
        meter(source.forget_bytes, source.text_bytes),
    ]
    if source.tokens is not None and source.loss_tokens is not None:
        cells += [f'<td class="num">{source.tokens:,}</td>', meter(source.tokens - source.loss_tokens, source.tokens)]
    opening = "<tr>" if source.file is not None else '<tr class="sum">'
    return f"{opening}{''.join(cells)}</tr>"


def _names(facts: Facts) -> list[str]:
    rows = [("configuration", facts.config_id), ("rule", facts.rule_id)]
    rows += [(f"table {table.name}", f"batch {table.batch}, {table.written}") for table in facts.tables]
    for policy in facts.policies:
        rows.append((f"policy {policy.name}", f"definition {policy.rule.definition_id}"))
        rows.append((f"classifier of {policy.name}", f"{policy.bundle}, bundle {policy.rule.bundle_id}"))
    rows += _export_names(facts.export) if facts.export else []
    return names(rows)


def _export_names(export: ExportFacts) -> list[tuple[str, str]]:
    made = f"{export.shards:,} shard{'s' * (export.shards != 1)}, {export.documents:,} documents, seed {export.seed}"
    return [
        ("manifest", f"{export.manifest_id}: {made}"),
        ("pretraining tokenizer", f"{export.tokenizer}, sha256 {export.tokenizer_sha256}"),
    ]
