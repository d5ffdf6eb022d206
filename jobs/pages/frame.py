"""What every page of ours is wrapped in: one self-contained HTML file, inline style, no script, nothing loaded.

Strings from a corpus or a configuration go through `html.e`; the content security policy is the second lock, for the
day somebody forgets the first. The style sheet is one column, light and dark, in the Okabe-Ito colours, which the
colour-blind tell apart; and colour never stands alone: forgotten tokens are underlined too, hidden ones struck through,
bars carry their number.
"""

from collections.abc import Sequence

from tokensieve.jobs.pages.html import e, one_line

CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def html_document(title: str, body: Sequence[str], style: str = "") -> str:
    """The whole file. `title` is escaped here, `body` is HTML already; `style` is added to the common one."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{CSP}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>tokensieve: {e(one_line(title))}</title>\n<style>{STYLE}{style}</style>\n</head>\n"
        f"<body>\n<main>\n{chr(10).join(body)}\n</main>\n</body>\n</html>\n"
    )


def tiles(figures: Sequence[tuple[str, str]]) -> str:
    """Large figures side by side: (what it is, as plain text; the figure, as HTML of ours)."""
    shown = (f'<div class="tile"><b>{value}</b><span>{e(name)}</span></div>' for name, value in figures)
    return f'<div class="tiles">{"".join(shown)}</div>'


def warning(title: str, text: str) -> str:
    """A card that is seen first. Both are HTML of ours."""
    return f'<div class="card warn"><b>{title}.</b> {text}</div>'


def names(rows: Sequence[tuple[str, str]]) -> list[str]:
    """The last section: what the page was made from, by name and id. Plain text."""
    cells = "".join(
        f'<tr><td>{e(name)}</td><td class="mono">{e(one_line(value, 400))}</td></tr>' for name, value in rows
    )
    return [f'<h2>Names of what this was made from</h2><div class="card"><table>{cells}</table></div>']


STYLE = """
:root {
  --paper: #fbfaf7; --card: #ffffff; --ink: #1d2126; --dim: #5d6670; --line: #dcdad3; --soft: #f0eee8;
  --keep: #009e73; --mask: #e69f00; --hide: #0072b2; --drop: #d55e00; --quarantine: #8a4f7d; --bar: #7f93a6;
  --mask-back: #ffe3ad; --hide-back: #cfe6f7; --some-back: #fff3d9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181c; --card: #1d2126; --ink: #e6e4df; --dim: #9aa4ae; --line: #353b43; --soft: #262b31;
    --mask: #f0b63a; --hide: #56b4e9; --drop: #f07f3c; --quarantine: #cc79a7; --bar: #7b8fa3; --keep: #2bb78d;
    --mask-back: #6a4a07; --hide-back: #17405c; --some-back: #40351d;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 22px 60px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 2px; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 38px 0 10px; }
h3 { font-size: 15px; margin: 18px 0 6px; }
p { margin: 6px 0; max-width: 75ch; }
.dim { color: var(--dim); }
details p { max-width: none; }
code, .mono { font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px;
  margin: 12px 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 18px 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; }
.tile b { display: block; font-size: 24px; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile span { color: var(--dim); font-size: 13px; overflow-wrap: anywhere; }
.warn { border-left: 5px solid var(--drop); }
.stack { display: flex; height: 26px; border-radius: 6px; overflow: hidden; background: var(--soft);
  margin: 6px 0 12px; gap: 1px; }
.stack i { display: block; min-width: 3px; }
.k-keep { background: var(--keep); } .k-mask { background: var(--mask); } .k-hide { background: var(--hide); }
.k-drop { background: var(--drop); } .k-quarantine { background: var(--quarantine); }
.dot { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 7px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--dim); font-weight: 600; border-bottom: 1px solid var(--line);
  padding: 5px 16px 5px 0; }
td { border-bottom: 1px solid var(--line); padding: 5px 16px 5px 0; vertical-align: top; }
tr:last-child td { border-bottom: 0; }
tr.sum td { font-weight: 600; border-top: 2px solid var(--line); }
.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.share { min-width: 130px; white-space: nowrap; }
.meter { display: inline-block; width: 70px; height: 9px; margin-right: 8px; border-radius: 3px;
  background: var(--soft); }
.meter i { display: block; height: 9px; border-radius: 3px; background: var(--mask); }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 4px 26px; }
@media (max-width: 800px) { .two { grid-template-columns: 1fr; } }
ul { margin: 4px 0; padding-left: 20px; }
svg { display: block; width: 100%; height: auto; }
svg .bar { fill: var(--bar); } svg .over { fill: var(--mask); }
svg .rule { stroke: var(--line); } svg .axis { stroke: var(--dim); }
svg .threshold { stroke: var(--drop); stroke-width: 1.5; stroke-dasharray: 5 3; }
svg text { fill: var(--dim); font: 11px system-ui, sans-serif; } svg .note { fill: var(--ink); font-size: 12px; }
.chip { display: inline-block; background: var(--soft); border-radius: 5px; padding: 1px 8px;
  margin: 2px 4px 2px 0; font-size: 13px; }
.badge { display: inline-block; border-radius: 5px; padding: 0 8px; font-size: 13px; font-weight: 600;
  border: 2px solid; }
.b-keep { border-color: var(--keep); } .b-mask { border-color: var(--mask); } .b-hide { border-color: var(--hide); }
.b-drop { border-color: var(--drop); }
details { background: var(--card); border: 1px solid var(--line); border-radius: 10px; margin: 12px 0;
  padding: 10px 16px; }
summary { cursor: pointer; overflow-wrap: anywhere; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 30em; overflow: auto; margin: 10px 0 4px;
  padding: 12px 14px; background: var(--paper); border-radius: 8px; line-height: 1.75; unicode-bidi: isolate; }
.n { background: var(--mask-back); text-decoration: underline 2px var(--mask); text-underline-offset: 3px; }
.s { background: var(--some-back); text-decoration: underline 2px dashed var(--mask); text-underline-offset: 3px; }
.h { background: var(--hide-back); text-decoration: line-through 2px var(--hide); }
.d .n { background: transparent; text-decoration: underline 2px dashed var(--drop); text-underline-offset: 3px; }
.legend span { padding: 1px 5px; border-radius: 3px; margin-right: 12px; }
footer { margin-top: 44px; color: var(--dim); font-size: 13px; }
@media print {
  :root { --paper: #ffffff; --card: #ffffff; }
  body { font-size: 12px; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  .card, .tile, tr, svg { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .scroll, .text { overflow: visible; max-height: none; }
}
"""
