"""Imports: networks from elsewhere become bundles. Files are data: none is executed, and each is tried in a process
of its own.
"""
