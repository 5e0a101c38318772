"""Spans for tests, written as a person would: `span("a", 1)`, `span("b", 2, parent=1)`."""

from __future__ import annotations

import numpy as np

from chronotope.ingest.spans.columns import CLIENT, ERROR, LINK, RELEASED, SERVER, SHARED, SPAN, Node, Vocabulary
from chronotope.ingest.spans.pairing import Rules, calls_of
from chronotope.schema.observations import BOTH_VIEWS, RESOLVED_ONLY

START_NS = 1_700_000_000 * 10**9
MS = 10**6


class Scene:
    """Builds span rows over one vocabulary and reads calls back as words."""

    def __init__(self, entry: str = "") -> None:
        self.vocabulary = Vocabulary()
        entry_node = self.vocabulary.nodes.code(Node(entry, "external")) if entry else -1
        self.rules = Rules(self.vocabulary, entry_node)

    def span(
        self,
        service: str,
        span: int,
        parent: int = 0,
        *,
        kind: int = SERVER,
        peer: Node | None = None,
        protocol: str = "unknown",
        trace: int = 1,
        at_ms: float = 0,
        took_ms: float = 10,
        error: bool = False,
        shared: bool = False,
        link: bool = False,
        released: bool = True,
        weight: int = 1,
    ) -> np.ndarray:
        """One row, as an array of one."""
        row = np.zeros(1, SPAN)
        row["trace_lo"], row["span"], row["parent"] = trace, span, parent
        row["start_ns"] = START_NS + int(at_ms * MS)
        row["end_ns"] = row["start_ns"] + int(took_ms * MS)
        row["service"] = self.vocabulary.service(service)
        row["peer"] = self.vocabulary.nodes.code(peer) if peer else -1
        row["protocol"] = self.vocabulary.protocols.code(protocol)
        row["kind"], row["weight"] = kind, weight
        row["flags"] = ERROR * error | SHARED * shared | LINK * link | RELEASED * released
        return row

    def calls(self, *rows: np.ndarray) -> list[dict[str, object]]:
        """The calls of these spans as dictionaries, sorted."""
        found = calls_of(np.concatenate(rows), self.rules).calls
        return sorted((self._words(call) for call in found), key=str)

    def edges(self, *rows: np.ndarray, view: int = RESOLVED_ONLY) -> list[str]:
        """`source>target` or `source>target via topic` of each call in a view, sorted."""
        return sorted(
            f"{call['source']}>{call['target']}" + (f" via {call['via']}" if call["via"] else "")
            for call in self.calls(*rows)
            if call["view"] in (BOTH_VIEWS, view)
        )

    def _words(self, call: np.void) -> dict[str, object]:
        nodes = self.vocabulary.nodes
        return {
            "source": nodes[call["source"]].id,
            "target": nodes[call["target"]].id,
            "via": nodes[call["via"]].id if call["via"] >= 0 else "",
            "protocol": self.vocabulary.protocols[call["protocol"]],
            "latency_ms": int(call["latency_ns"]) / MS,
            "at_ms": (int(call["time_ns"]) - START_NS) / MS,
            "error": bool(call["error"]),
            "weight": int(call["weight"]),
            "view": int(call["view"]),
            "reporter": int(call["reporter"]),
        }


def client(scene: Scene, service: str, span: int, parent: int = 0, **more: object) -> np.ndarray:
    """A client span."""
    return scene.span(service, span, parent, kind=CLIENT, **more)  # type: ignore[arg-type]
