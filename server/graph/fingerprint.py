"""A short text that changes when the data behind a graph does.

Invariant: it is made from the window's evidence and from what is known of its services, not from the answer's text. An
edge's `last_seen` leaves it as it is: traffic of today does not make yesterday's graph another one.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from chronotope.server.graph.assemble import Directory
from chronotope.server.graph.columns import EdgeColumns
from chronotope.server.graph.levels import Plan
from chronotope.server.graph.measures import layer_quantiles
from chronotope.server.graph.question import Question


def fingerprint(columns: EdgeColumns, directory: Directory, question: Question, plan: Plan) -> str:
    """Return 24 hex digits for all that goes into a graph."""
    asked = replace(question, start_ms=0, end_ms=0)  # the plan has the window that was used
    said = repr((asked, plan, columns.protocols, sorted(columns.via.items()), sorted(columns.doubts.items())))
    digest = hashlib.blake2b(said.encode(), digest_size=12)
    kinds, attributes = directory.kinds, directory.attributes
    digest.update("".join(f"{name}\0{kinds.get(name)}\0{attributes.get(name)}\n" for name in columns.names).encode())
    arrays = [columns.source, columns.target, columns.protocol, columns.first_seen]
    for name, layer in columns.layers.items():
        digest.update(name.encode())
        arrays += [layer.alive, *layer.measures.values()]
        arrays += [layer_quantiles(layer)] if question.full else []
        if layer.codes is not None:
            digest.update("\0".join(layer.codes.names).encode())
            arrays += [layer.codes.edge, layer.codes.code, layer.codes.count]
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
