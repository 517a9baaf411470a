"""Pages: self-contained HTML of headings, tables and pictures. Nothing in them runs or is fetched: no script, no link.

Text is escaped, so that names from strangers' files stay text. What a page says is not here: its makers are.
"""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from geoseg.disk.files import atomic
from geoseg.values.classes import ClassInfo

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: #1f2933; background: #fff;
  max-width: 72rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; padding-bottom: .25rem; border-bottom: 1px solid #e4e7eb; }
p { margin: .4rem 0; max-width: 48rem; }
.quiet, figcaption, caption { color: #616e7c; font-size: .87rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .25rem; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #e4e7eb; white-space: nowrap; }
th { font-weight: 600; background: #f5f7fa; }
th:first-child, td:first-child { text-align: left; }
.row { display: flex; flex-wrap: wrap; gap: .75rem; margin: .75rem 0; align-items: flex-start; }
figure { margin: 0; }
figure img { display: block; max-width: 100%; border: 1px solid #cbd2d9; image-rendering: pixelated; }
.swatch { display: inline-block; width: .85em; height: .85em; border: 1px solid #7b8794; margin: 0 .35em 0 0;
  vertical-align: -.05em; }
.legend span { margin-right: 1.1rem; white-space: nowrap; }
.fault { color: #ab091e; font-weight: 600; }
@media print { body { margin: 0; max-width: none; } h2, figure, tr { break-inside: avoid; } }
"""


class Html(str):
    """A piece of a page; any other text is escaped where it becomes one."""

    __slots__ = ()


def html(text: str) -> Html:
    """Return text as a piece of a page.

    >>> html("a < b"), html(Html("<b>"))
    ('a &lt; b', '<b>')
    """
    return text if isinstance(text, Html) else Html(escape(text))


def tag(name: str, *inner: str, **attributes: str) -> Html:
    """Return an element; an attribute's name may end in _ where it is a word of Python.

    >>> tag("p", "1 < 2", class_="quiet")
    '<p class="quiet">1 &lt; 2</p>'
    """
    said = "".join(f' {key.rstrip("_")}="{escape(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{said}>{''.join(map(html, inner))}</{name}>")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "") -> Html:
    """Return a table; the first column is of names, the others of numbers. A cell may be a whole ``td``."""
    cells = (tag("tr", *(cell if cell.startswith("<td") else tag("td", cell) for cell in map(html, r))) for r in rows)
    top = tag("thead", tag("tr", *(tag("th", cell) for cell in head)))
    told = (tag("caption", caption),) if caption else ()
    return tag("div", tag("table", *told, top, tag("tbody", *cells)), class_="wide")


def shaded(text: str, share: float) -> Html:
    """Return a cell that is the darker the larger its share, 0..1, of what it is compared with."""
    return tag("td", text, style=f"background: rgba(37, 99, 235, {0.45 * share:.2f})")


def figure(picture: str, caption: str = "", *, width_px: int | None = None) -> Html:
    """Return a picture, given as a ``data:`` address, with what it shows below it."""
    wide = "" if width_px is None else f' width="{width_px}"'
    image = Html(f'<img src="{escape(picture)}" alt="{escape(caption)}"{wide}>')
    return tag("figure", image, *((tag("figcaption", caption),) if caption else ()))


def side_by_side(*parts: str) -> Html:
    """Return parts in one row, as far as the page is wide enough."""
    return tag("div", *parts, class_="row")


def legend(classes: Iterable[ClassInfo]) -> Html:
    """Return the colours of classes with their names."""
    swatches = (tag("span", tag("i", class_="swatch", style=f"background: {c.hex}"), c.name) for c in classes)
    return tag("p", *swatches, class_="legend quiet")


def page(title: str, *parts: str) -> str:
    """Return a whole page; a part that is no piece of one becomes a paragraph."""
    body = "\n".join(part if isinstance(part, Html) else tag("p", part) for part in parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{tag('h1', title)}\n{body}\n</body>\n</html>\n"
    )


def write_page(path: Path, text: str) -> None:
    """Write a page, whole or not at all; raises OutputError where the disk fails."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
