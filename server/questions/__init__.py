"""Questions about a whole graph: what breaks with a service, which ways lead to it, what goes round, what stands alone.

Each module owns one question as a pure function over pairs of services (`pairs.py`): no store, clock or names.
"""
