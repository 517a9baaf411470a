"""Lines of code by package: without comments, docstrings and blank lines.

usage: python scripts/lines.py [FOLDER ...]    (default: geoseg pipelines)
"""

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

NOT_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}

DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def code_lines(source: str) -> int:
    """Return how many lines of ``source`` hold code.

    >>> code_lines("# note, then two lines of code" + 2 * chr(10) + "x = 1  # one" + chr(10) + "y = 2")
    2
    """
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node):
            text = node.body[0]
            lines -= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return len(lines)


def main() -> None:
    """Print a row for each package, the largest first, and the sum."""
    counts: Counter[str] = Counter()
    for folder in sys.argv[1:] or ["geoseg", "pipelines"]:
        for path in Path(folder).rglob("*.py"):
            parts = path.parent.parts
            counts["/".join(parts[:3]) or "."] += code_lines(path.read_text(encoding="utf-8"))
    for package, count in counts.most_common():
        print(f"{count:6}  {package}")
    print(f"{counts.total():6}  all")


if __name__ == "__main__":
    main()
