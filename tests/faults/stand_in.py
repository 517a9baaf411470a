"""For ``dask worker --preload faults.stand_in``: a worker that runs the stand-in of the fault tests as its network."""

from faults.patches import network

network(pause_s=0.02)
