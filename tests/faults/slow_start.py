"""For ``dask worker --preload faults.slow_start``: the stand-in's worker on a busy machine, where it starts slowly."""

import time

from faults.patches import network

time.sleep(16)  # one second more than a local cluster of Dask waits by default for a worker that was lost
network(pause_s=0.02)
