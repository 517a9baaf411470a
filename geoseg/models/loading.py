"""Loading large libraries: what their modules define lives as long as the process; no garbage is looked for in it."""

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

atexit.register(gc.unfreeze)  # libraries that look for what was never freed find it as without this


@contextmanager
def loading() -> Iterator[None]:
    """Collect no garbage meanwhile, and leave what new modules define out of later collections.

    Hundreds of collections take a sixth of the time in which torch and its networks load, and find nothing.
    """
    modules, enabled = len(sys.modules), gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > modules:
            gc.freeze()
        if enabled:
            gc.enable()
