"""Questions about a whole graph: blast radius, paths, cycles, single points of failure.

Each module answers one question as a pure function over pairs of services (`pairs.py`), without store, clock or names.
"""
