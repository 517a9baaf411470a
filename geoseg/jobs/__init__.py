"""A run from start to end: job, plan, chunks, folder, outputs."""
