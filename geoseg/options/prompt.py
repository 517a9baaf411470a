"""How prompts are answered, as their user chooses it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from geoseg.options.option import NAMED, Checked, Option, above, span
from geoseg.options.parse import PERCENTILES, SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptOptions(Checked):
    """What is answered, and where embeddings of windows are kept."""

    TOPIC = "Prompts"

    gsd_m: Annotated[
        float | None,
        Option(
            "Ground resolution at which the scene is read; coarser for objects wider than a window.",
            unset="the model's, else the scene's own",
            limit=above(0),
        ),
    ] = None
    stretch: Annotated[
        tuple[float, float] | None,
        Option("Bring two percentiles of the whole scene to 0 and 255, e.g. 2,98.", text=PERCENTILES),
    ] = None
    alternatives: Annotated[bool, Option("Also write the masks that the model finds less likely.")] = False
    skip_bad: Annotated[
        bool, Option("Answer the others where prompts cannot be answered, and list these in run.json.")
    ] = False
    refine: Annotated[
        str | None,
        Option(
            "Earlier answers, as objects.gpkg: the mask of the same object is a prompt, too.",
            limit=NAMED,
            metavar="FILE",
        ),
    ] = None
    follow: Annotated[
        bool, Option("Follow the objects that are prompted on the first scene to the others, of later dates.")
    ] = False
    everything: Annotated[
        bool, Option("Ask for all objects of the scene, by clicks on a lattice, without prompts.")
    ] = False
    text: Annotated[
        str | None,
        Option(
            'Ask for what words name, without prompts, e.g. "solar panel, building": they are the classes.',
            limit=NAMED,
            metavar="WORDS",
        ),
    ] = None
    detector: Annotated[
        str | None,
        Option(
            "Bundle of Grounding DINO, which finds the words where the model knows none.", limit=NAMED, metavar="BUNDLE"
        ),
    ] = None
    least_score: Annotated[float, Option("Score of what is found of the words, at least.", limit=span(0, 1))] = 0.25
    spacing_px: Annotated[int, Option("Side of a cell of that lattice: one click each.", limit=span(4, 1024))] = 32
    within: Annotated[
        str | None,
        Option("Polygons within which it clicks.", unset="everywhere", limit=NAMED, metavar="FILE[:LAYER]"),
    ] = None
    least_iou: Annotated[float, Option("Predicted IoU of the masks that it keeps.", limit=span(0, 1))] = 0.88
    least_stability: Annotated[float, Option("Stability of the masks that it keeps.", limit=span(0, 1))] = 0.92
    classes: Annotated[
        str | None,
        Option(
            "Class map whose commonest class within a mask names it: a run's folder or a raster.",
            unset="nobody names them",
            limit=NAMED,
            metavar="MAP",
        ),
    ] = None
    device: Annotated[str, Option("auto, cpu or cuda.")] = "auto"
    cache_bytes: Annotated[
        int, Option("Embeddings that are kept at most, e.g. 20GB; the least recently used leave.", text=SIZE)
    ] = 20 * 10**9
    embeddings: Annotated[
        str | None,
        Option(
            "Folder of the embeddings; processes on other machines need one that they see.",
            unset="in the user's cache folder",
            limit=NAMED,
            metavar="FOLDER",
        ),
    ] = None

    @property
    def finds(self) -> bool:
        """Whether nothing but the scene is given: all objects are asked for, or those that words name."""
        return self.everything or self.text is not None

    def _faults(self) -> Iterator[str]:
        if self.within is not None and not self.everything:
            yield "within: says where everything is asked for; prompts have their own places"
        if self.text is not None and (self.everything or self.refine is not None):
            yield "text: goes without everything and refine"
        if self.follow and (self.finds or self.refine is not None or self.alternatives):
            yield "follow: goes with prompts, without text, everything, refine and alternatives"
        if self.detector is not None and self.text is None:
            yield "detector: finds what text names; give --text"
        if self.everything and (self.refine is not None or self.alternatives):
            yield "everything: goes without refine and alternatives, which are of prompts"
