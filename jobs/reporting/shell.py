"""What every page of ours is wrapped in: one self-contained HTML file, inline style, no script, nothing loaded.

Strings from a corpus or a configuration go through `html.e`; the content security policy is the second lock, for the
day somebody forgets the first.
"""

from collections.abc import Sequence

from jobs.reporting.html import e
from jobs.reporting.style import STYLE
from jobs.visible import one_line

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
