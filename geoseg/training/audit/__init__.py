"""Audit of labels before a training: what is wrong with them, what is doubtful, and pictures to look at."""
