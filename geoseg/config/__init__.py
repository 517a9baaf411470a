"""Configs: what a YAML file or a run.json asks for."""
