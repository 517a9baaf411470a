"""Recipes: one file per job, made of the verbs that geoseg holds, each short enough to be read aloud."""
