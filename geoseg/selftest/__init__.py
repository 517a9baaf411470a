"""geoseg verify: does a job come out the same, in planned memory, with nothing missing?"""
