"""How it is known which end of a flow is the caller, as stored with flows (`flows.direction`) and, at best, with edges.

Invariant: a greater number is better evidence; the numbers are in stores and never change.
"""

from __future__ import annotations

BY_ORDER, BY_PORT, BY_SYN = 0, 1, 2
DIRECTIONS = ("unknown", "port", "syn")  # as the API says it, by number
