"""Exports: a bundle's network for other programs, each measured against the network itself before it is written."""
