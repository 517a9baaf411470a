"""Configs that come with geoseg, one commented YAML file per job; ``geoseg run NAME`` runs one."""
