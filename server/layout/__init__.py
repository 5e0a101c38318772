"""Where the nodes of a drawing are: computed once for the graph of all services, then remembered.

Invariant: a place once given stays; a new node moves no other. Callers are left of callees where there is no cycle.
"""
