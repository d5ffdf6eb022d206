"""The small pieces of the page: escaping, shares, sizes, meters."""

from html import escape

from jobs.visible import visible


def e(text: str) -> str:
    """Text as it may stand in an element or a quoted attribute: escaped, its invisible characters made visible."""
    return escape(visible(text), quote=True)


def share(part: int, whole: int) -> str:
    """A percentage; 0 of 0 is 0."""
    return f"{part / whole:.1%}" if whole else "0"


def change(after: float, before: float, form: str = ",") -> str:
    """A difference with its sign, in Python's format of numbers; nothing but 0 for none."""
    return format(after - before, f"+{form}") if after != before else "0"


def size(count: int) -> str:
    """Bytes in decimal units."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"


def meter(part: int, whole: int) -> str:
    """A table cell with a bar and a percentage; the counts show under the pointer."""
    width = round(100 * part / whole, 1) if whole else 0
    bar = f'<span class="meter"><i style="width:{width}%"></i></span>'
    return f'<td class="share" title="{part:,} of {whole:,}">{bar}{share(part, whole)}</td>'


def bullets(items: tuple[str, ...]) -> str:
    """A list of escaped items."""
    return "<ul>" + "".join(f"<li>{e(item)}</li>" for item in items) + "</ul>"
