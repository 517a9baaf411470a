"""Executors: ways to walk the tasks of a job."""
