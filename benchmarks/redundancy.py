"""How many windows chunks run anew at their borders: windows run over windows of the grid, from plans; nothing is run.

    .venv/bin/python benchmarks/redundancy.py [--sizes 8192 16384 36000] [--memory 2GB 4GB]

threads: this machine's CPUs as lanes of one process, which hands windows at borders on. 4 shards: such processes, each
for every fourth chunk. worker: one lane, as each process of the engines local and dask, whose chunks share nothing.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import machine
from scenes import write_scene

from geoseg import RunOptions, load_model, open_scene
from geoseg.errors import MemoryBudgetError
from geoseg.executors.threads import local_site, usable_cpus
from geoseg.jobs.plan import make_plan
from geoseg.options.parse import parse_bytes

# name, lanes, whether chunks are run in order by the process that plans, and which of how many shards it is
PROCESSES = (
    ("threads", usable_cpus(), True, None),
    ("4 shards", usable_cpus(), True, (1, 4)),
    ("worker", 1, False, None),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8192, 16384, 36000])
    parser.add_argument("--memory", nargs="+", default=["2GB", "4GB"])
    parser.add_argument("-m", "--models", nargs="+", default=["land-cover", "buildings"])
    asked = parser.parse_args()
    print(machine.describe())
    print("| model | scene | process | memory | chunk px | windows run / windows |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for model in asked.models:
            bundle = load_model(model)
            bands = len(bundle.spec.bands)
            for size in asked.sizes:
                scene = open_scene(write_scene(Path(folder) / f"{size}-{bands}.tif", size, bands=bands, share=0.0))
                for process, lanes, here, shard in PROCESSES:
                    for memory in asked.memory:
                        site = replace(local_site("cpu", lanes=lanes), here=here)
                        options = RunOptions(tta="none", lanes=lanes, memory_bytes=parse_bytes(memory), shard=shard)
                        try:
                            plan = make_plan(scene, [bundle], site=site, options=options)
                            cells = (str(plan.job.chunk_px), f"{plan.redundancy:.3f}")
                        except MemoryBudgetError:
                            cells = ("none fits", "")
                        print(f"| {' | '.join((model, f'{size}²', process, memory, *cells))} |", flush=True)


if __name__ == "__main__":
    main()
