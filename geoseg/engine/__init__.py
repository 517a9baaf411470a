"""Running a model over a scene: jobs, plans, the task of one chunk, engines, and finished outputs."""
