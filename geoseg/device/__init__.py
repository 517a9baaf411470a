"""Device: the pixel arithmetic of a run in torch, so that on a GPU windows and sums never leave it.

The same numbers, to the bit, as ``geoseg.tiling`` computes on the CPU: integers, and floats in the same order of
operations. On the device "cpu" it runs too, which is how it is tested. Its network is a backend's, see
``geoseg.models.backends.torch``; what calls it is ``geoseg.jobs.on_device``.
"""
