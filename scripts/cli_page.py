"""Write docs/cli.md: verbs, flags and keys of configs, as geoseg/options/ and the verbs declare them.

``python scripts/cli_page.py`` after a change of either; a test compares the page with them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from geoseg.cli.options import TalkFlags
from geoseg.cli.verbs import VERBS, command
from geoseg.options.autoconfig import AutoconfigOptions
from geoseg.options.calibrate import CalibrateOptions
from geoseg.options.clean import CleanOptions
from geoseg.options.evaluate import CompareOptions, EvaluateOptions
from geoseg.options.exchange import ExportOptions, ImportOptions
from geoseg.options.fit import FitOptions
from geoseg.options.option import Declared, declared, groups
from geoseg.options.polygons import PolygonOptions, RegularizeOptions
from geoseg.options.prompt import PromptOptions
from geoseg.options.run import BatchOptions, ClusterOptions, EngineOptions, RunOptions
from geoseg.options.scene import SceneOptions
from geoseg.options.segment import SegmentOptions
from geoseg.options.train import TrainOptions

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
HEAD = """# The command line and the keys of configs

`python scripts/cli_page.py` writes this page from the declarations in `geoseg/options/` and those of the verbs.

The flag and the key of a row are the same option: `--batch 2` is `options: {batch: 2}` in a YAML file, and run.json
holds it under that key. In a batch, the keys stand under `each`. `geoseg VERB --help` lists the flags of a verb.
"""
# Heading, group, and the keys above its own in a config; None: it has no keys.
TABLES: tuple[tuple[str, Any, str | None], ...] = (
    ("Scene", SceneOptions, ""),
    ("Engine", EngineOptions, "options."),
    ("Cluster", ClusterOptions, "options.cluster."),
    ("Run", RunOptions, "options."),
    ("Polygons", PolygonOptions, "polygons."),
    ("Regularize", RegularizeOptions, None),
    ("Batch", BatchOptions, None),
    ("Fit", FitOptions, None),
    ("Prompts", PromptOptions, "options."),
    ("Clean", CleanOptions, None),
    ("Segment", SegmentOptions, None),
    ("Train", TrainOptions, None),
    ("Autoconfig", AutoconfigOptions, None),
    ("Calibrate", CalibrateOptions, None),
    ("Evaluate", EvaluateOptions, None),
    ("Compare", CompareOptions, None),
    ("Import", ImportOptions, None),
    ("Export", ExportOptions, None),
)


def page() -> str:
    """Return the page."""
    parts = [HEAD, "## Options\n"]
    told: set[tuple[str, str | None, str]] = set()  # an option that a group has of another is told once
    for heading, group, above in TABLES:
        own = [option for option in declared(group) if (option.name, above, option.said.help) not in told]
        told |= {(option.name, above, option.said.help) for option in own}
        parts.append(
            f"### {heading}\n\n" + table(("flag", "key", "unit", "default", "values", "what it does"), rows(own, above))
        )
    talk = [row(param) for param in command("info").params if param.name in TalkFlags.__dataclass_fields__]
    parts.append("### Talk\n\nEvery verb has these.\n\n" + table(("flag", "default", "what it does"), talk))
    parts.append("## Verbs\n")
    parts += [of_verb(verb) for verb in VERBS]
    return "\n".join(parts)


def rows(options: Iterable[Declared], above: str | None) -> Iterator[list[str]]:
    """Yield a row for each option."""
    for option in options:
        limit = ", ".join(option.choices) or (option.said.limit.words if option.said.limit else "")
        key = "" if above is None else f"`{above}{option.name}`"
        default = option.said.unset or ("" if option.default is None else written(option.default))
        yield [f"`--{option.flag}`", key, option.unit, default, limit, option.said.help]


def of_verb(verb: str) -> str:
    """Return the section of a verb: what it does, its groups of options, and the flags that are its own."""
    made = command(verb)
    hints = get_type_hints(made.callback.__wrapped__.__wrapped__)
    taken = [heading for heading, group, _ in TABLES if any(group in kinds(hint) for hint in hints.values())]
    shared = {option.name for heading, group, _ in TABLES if heading in taken for option in declared(group)}
    own = [
        p for p in made.params if p.name in hints or p.name not in shared | {*TalkFlags.__dataclass_fields__, "help"}
    ]
    arguments = " ".join(p.metavar for p in own if p.param_type_name == "argument")
    options = [row(p) for p in own if p.param_type_name == "option"]
    parts = [f"### geoseg {verb} {arguments}".rstrip(), made.help or ""]
    parts += [f"Options: {', '.join(taken)}."] if taken else []
    parts += [table(("flag", "default", "what it does"), options)] if options else []
    return "\n\n".join(parts) + "\n"


def kinds(hint: Any) -> tuple[Any, ...]:
    """Return a group of options, those it is made of, and those within it; nothing for other types."""
    if not is_dataclass(hint):
        return ()
    return (*hint.__mro__, *groups(hint).values())  # type: ignore[union-attr]


def row(param: Any) -> list[str]:
    """Return the row of a flag that typer knows alone."""
    default = "" if param.default is None or param.default is False else written(param.default)
    return [", ".join(f"`{name}`" for name in param.opts), default, param.help]


def written(value: Any) -> str:
    """Return a default as it would be typed."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(value) if isinstance(value, tuple) else str(getattr(value, "value", value))


def table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    head = list(head)
    body = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *body)) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
