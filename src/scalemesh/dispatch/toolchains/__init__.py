"""Toolchains that builds read and cannot write: fetched by the platform, hashes checked, installed once, atomically.

store: `<folder>/<name>-<version>/bin`. catalog: which can be had, and how. wheels, npm: where they come from (pip
checks PyPI's hashes; npm tarballs are checked against the registry's sha512). broker: how agents ask.
"""
