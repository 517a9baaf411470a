"""Lines of code by package: without comments, docstrings and blank lines.

usage: python scripts/lines.py [--against COMMIT] [FOLDER ...]    (default: geoseg pipelines)

--against: a Markdown table of lines then and now, by package within geoseg/, for docs/design.md.
"""

import argparse
import ast
import io
import subprocess
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
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


def lines_by_package(sources: Iterable[tuple[Path, str]], *, deep: int = 3) -> Counter[str]:
    """Return the lines of code of each package, by the first ``deep`` parts of its path."""
    counts: Counter[str] = Counter()
    for path, source in sources:
        counts["/".join(path.parent.parts[:deep]) or "."] += code_lines(source)
    return counts


def here(folders: Iterable[str]) -> Iterator[tuple[Path, str]]:
    """Yield the files of the working tree; a link to a folder is not followed."""
    for folder in folders:
        yield from ((path, path.read_text(encoding="utf-8")) for path in Path(folder).rglob("*.py"))


def at(commit: str, folders: Iterable[str]) -> Iterator[tuple[Path, str]]:
    """Yield the files of a commit."""
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", commit, *folders], capture_output=True, text=True, check=True
    )
    for name in listed.stdout.split():
        if name.endswith(".py"):
            shown = subprocess.run(["git", "show", f"{commit}:{name}"], capture_output=True, text=True, check=True)
            yield Path(name), shown.stdout


def main() -> None:
    """Print a row for each package, the largest first, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folders", nargs="*", default=["geoseg", "pipelines"])
    parser.add_argument("--against", metavar="COMMIT")
    asked = parser.parse_args()
    if asked.against is None:
        counts = lines_by_package(here(asked.folders))
        for package, count in counts.most_common():
            print(f"{count:6}  {package}")
        print(f"{counts.total():6}  all")
        return
    now = lines_by_package(here(asked.folders), deep=2)
    then = lines_by_package(at(asked.against, asked.folders), deep=2)
    files = Counter("/".join(path.parent.parts[:2]) for path, _ in here(asked.folders))
    print(f"| package | lines at {asked.against} | lines now | files now |\n|---|---|---|---|")
    for package, count in now.most_common():
        print(f"| {package} | {then[package]:,} | {count:,} | {files[package]} |")
    print(f"| gone | {sum(count for package, count in then.items() if package not in now):,} | 0 | 0 |")
    print(f"| all | {then.total():,} | {now.total():,} | {files.total()} |")


if __name__ == "__main__":
    main()
