"""A client span that names a proxy as its peer, answered by a service behind it: one call `via` the proxy."""

from __future__ import annotations

import itertools

from chronotope.ingest.spans.columns import Node
from chronotope.schema.observations import HOPS_ONLY
from tests.ingest.spans.building import Scene, client

PROXY = Node("lb", "intermediary")


def test_call_through_a_proxy_is_one_edge_via_it_in_any_order_and_two_hops() -> None:
    for order in itertools.permutations(range(3)):
        scene = Scene()
        spans = [
            scene.span("front", 1),
            client(scene, "front", 2, 1, peer=PROXY, protocol="http", took_ms=9),
            scene.span("orders", 3, 2, protocol="http", took_ms=5, error=True),
        ]
        rows = [spans[at] for at in order]
        assert scene.edges(*rows) == ["front>orders via lb"]
        assert scene.edges(*rows, view=HOPS_ONLY) == ["front>lb", "lb>orders"]
        found = {(call["source"], call["target"]): call for call in scene.calls(*rows)}
        assert [found[pair]["latency_ms"] for pair in (("front", "orders"), ("front", "lb"), ("lb", "orders"))] == [
            9,
            9,
            5,
        ]
        assert all(call["error"] for call in found.values())


def test_proxy_that_sends_spans_itself_is_the_target_and_the_source() -> None:
    """Its name has two kinds here: what its own spans say, and what an identity does."""
    scene = Scene()
    spans = [
        client(scene, "front", 1, peer=PROXY),
        scene.span("lb", 2, 1),
        client(scene, "lb", 3, 2, peer=Node("orders")),
        scene.span("orders", 4, 3),
    ]
    assert scene.edges(*spans) == ["front>lb", "lb>orders"]
    assert scene.edges(*spans, view=HOPS_ONLY) == ["front>lb", "lb>orders"]


def test_proxy_that_nobody_answers_behind_is_the_target() -> None:
    scene = Scene()
    assert scene.edges(client(scene, "front", 1, peer=PROXY)) == ["front>lb"]
