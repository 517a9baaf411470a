"""geoseg advise: what to choose for which need."""

from typing import Annotated

import typer

from geoseg.cli.options import spread
from geoseg.errors import ConfigError


@spread
def advise(
    question: Annotated[
        list[str] | None, typer.Argument(metavar="[WORDS]...", help="What you have or want; none: the list of needs.")
    ] = None,
) -> None:
    """Say which task, network, loss, split and how many labels a need asks for, and what not to do."""
    from geoseg.training.advice import TOPICS, asked, rows

    if not question:
        for topic, title in TOPICS.items():
            print(f"{title}\n" + "\n".join(f"  {row.need}" for row in rows() if row.topic == topic) + "\n")
        print("geoseg advise WORDS says what answers a need, e.g. geoseg advise rare class")
        return
    found = asked(" ".join(question))
    if not found:
        raise ConfigError(f"no advice on {' '.join(question)!r}; geoseg advise lists the needs")
    lines = (f"{row.need}: {row.answer}\n  how  {row.how}\n  why  {row.why}" for row in found)
    print("\n\n".join(line.replace("`", "") for line in lines))
