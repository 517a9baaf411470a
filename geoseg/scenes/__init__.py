"""Scenes: what is opened, what it holds, and the reading of its pixels."""
