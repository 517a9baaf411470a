"""Runs that are killed, stopped, starved and lied to, in real processes; their outputs are compared byte by byte."""
