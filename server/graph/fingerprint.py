"""A short text that changes when the data behind a graph does.

Invariant: it is made from the window's evidence and from what is known of its services, not from the answer's text.
`last_seen` does not count, so today's traffic does not change yesterday's graph.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from chronotope.server.evidence.columns import EdgeColumns
from chronotope.server.evidence.levels import Plan
from chronotope.server.evidence.question import Question
from chronotope.server.graph.assemble import Directory
from chronotope.server.graph.measures import layer_quantiles


def fingerprint(
    windows: Sequence[EdgeColumns], directory: Directory, questions: Sequence[Question], plans: Sequence[Plan]
) -> str:
    """Return 24 hex digits for all that a graph, or the difference of windows over the same edges, is made from."""
    digest = hashlib.blake2b(digest_size=12)
    common = windows[0]
    about = [list(map(known.get, common.names)) for known in (directory.kinds, directory.attributes)]
    digest.update(repr((common.names, about)).encode())
    for values in (common.source, common.target, common.protocol, common.first_seen):
        digest.update(np.ascontiguousarray(values).data)
    for columns, question, plan in zip(windows, questions, plans, strict=True):
        asked = replace(question, start_ms=0, end_ms=0)  # the plan has the window that was used
        facts = (asked, plan, columns.protocols, sorted(columns.via.items()))
        digest.update(repr(facts).encode())
        for values in (columns.confidence, columns.inferred):
            digest.update(np.ascontiguousarray(values).data)
        _add_layers(digest, columns, full=question.full)
    return digest.hexdigest()


def _add_layers(digest: hashlib.blake2b, columns: EdgeColumns, *, full: bool) -> None:
    arrays: list[np.ndarray] = []
    for name, layer in columns.layers.items():
        digest.update(name.encode())
        arrays += [layer.alive, *layer.measures.values()]
        arrays += [layer_quantiles(layer)] if full else []
        if layer.codes is not None:
            digest.update("\0".join(layer.codes.names).encode())
            arrays += [layer.codes.edge, layer.codes.code, layer.codes.count]
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
