"""Layout: where nodes are drawn, computed once for the graph of all services, then remembered.

Invariant: a node never moves once it is placed, and a new node moves no other. Callers are left of callees where there
is no cycle.
"""
