"""Write docs/choosing.md from geoseg/training/choosing.toml.

``python scripts/choosing_page.py`` after a change of it; a test compares the page with it.
"""

from pathlib import Path

from geoseg.training.advice import TOPICS, rows

PAGE = Path(__file__).resolve().parent.parent / "docs" / "choosing.md"
HEAD = """# Choosing

`geoseg advise WORDS` finds a row of these tables, and `geoseg advise` lists the needs. `geoseg autoconfig` decides what
data can decide. `python scripts/choosing_page.py` writes this page from `geoseg/training/choosing.toml`. Rows are the
field's rules of thumb; where benchmarks/ has measured one, the figure decides.
"""

FOOT = """## What was measured

benchmarks/results/practice.md (`benchmarks/practice.py`): one change at a time, each training 10 CPU seconds long,
which is 6 to 51 steps. Three seeds on an aerial site, on a satellite chip and on chips of land cover: enough to tell a
pretrained encoder from one that is not in a town, a small U-Net from a network of pixels, and networks that need many
steps from those that do not. Losses, class weights, scales and augmentation were run there and are not told apart by
so little. All other rows are rules of thumb.
"""


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for topic, title in TOPICS.items():
        lines = [f"| {row.need} | {row.answer} | {row.how} | {row.why} |" for row in rows() if row.topic == topic]
        parts.append("\n".join((f"## {title}", "", "| need | answer | how | why |", "|---|---|---|---|", *lines, "")))
    return "\n".join((*parts, FOOT))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
