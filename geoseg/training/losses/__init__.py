"""Losses: one table of names, one file a family, one signature.

terms.py says what a config names, without torch; table.py makes a weighted sum of it. Here is no class that is learnt:
targets.py makes labels of files.
"""
