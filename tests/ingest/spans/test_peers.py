from __future__ import annotations

import numpy as np
import pytest

from chronotope.ingest.identity.owners import Identities, Ownership
from chronotope.ingest.spans.columns import (
    CLIENT,
    CONSUMER,
    PRODUCER,
    SERVER,
    SPAN,
    UNSPECIFIED,
    Node,
    PeerHint,
    SpanBatch,
    Vocabulary,
)
from chronotope.ingest.spans.peers import resolve_peers

SECOND = 1_000_000_000
OWNED = Identities(
    [
        Ownership("10.0.0.5", "shop/cart", 0, "service", 0, 100_000),
        Ownership("10.0.0.5", "shop/orders", 0, "service", 100_000, 200_000),
        Ownership("10.0.0.5", "shop/pg", 5432, "database", 0, 200_000),
        Ownership("orders.example", "shop/orders"),
    ]
)


def resolved(
    *spans: tuple[int, PeerHint | None, int], aliases: dict[str, str] | None = None, identities: Identities = OWNED
) -> list[Node | None]:
    """Resolve spans of (kind, hint, start in seconds) and return their nodes."""
    words = Vocabulary()
    rows = np.zeros(len(spans), SPAN)
    rows["service"] = words.service("shop/frontend")
    rows["kind"] = [kind for kind, _, _ in spans]
    rows["start_ns"] = [start * SECOND for _, _, start in spans]
    rows["peer"] = [-1 if hint is None else words.hints.code(hint) for _, hint, _ in spans]
    resolve_peers(SpanBatch(rows), words, identities, aliases or {})
    return [words.nodes[code] if code >= 0 else None for code in rows["peer"].tolist()]


@pytest.mark.parametrize("kind", [CLIENT, PRODUCER, CONSUMER, UNSPECIFIED])
def test_topic_is_a_node_in_its_systems_namespace(kind: int) -> None:
    hint = PeerHint("messaging", name="orders", system="rabbitmq")
    assert resolved((kind, hint, 0)) == [Node("rabbitmq/orders", "messaging")]


def test_messaging_without_a_topic_is_the_system_alone() -> None:
    assert resolved((PRODUCER, PeerHint("messaging", system="kafka"), 0)) == [Node("kafka", "messaging")]
    assert resolved((PRODUCER, PeerHint("messaging", name="orders"), 0)) == [Node("orders", "messaging")]


def test_named_service_wins_over_the_owner_of_its_address() -> None:
    hint = PeerHint(service="billing", address="10.0.0.5")
    assert resolved((CLIENT, hint, 0), (CLIENT, hint._replace(kind="database"), 0)) == [
        Node("billing"),
        Node("billing", "database"),
    ]


def test_address_is_whoever_owned_it_at_the_spans_start() -> None:
    hint = PeerHint(address="10.0.0.5", port=8080)
    assert resolved((CLIENT, hint, 99), (CLIENT, hint, 100), (CLIENT, hint, 200), (CLIENT, hint, 99)) == [
        Node("shop/cart"),
        Node("shop/orders"),
        Node("10.0.0.5", "external"),
        Node("shop/cart"),
    ]


def test_port_tells_two_services_of_one_host_apart() -> None:
    assert resolved((CLIENT, PeerHint(address="10.0.0.5", port=5432), 0)) == [Node("shop/pg", "database")]


def test_owned_database_address_is_the_service_and_stays_a_database() -> None:
    hint = PeerHint("database", address="orders.example", name="orders", system="postgresql")
    assert resolved((CLIENT, hint, 0)) == [Node("shop/orders", "database")]


@pytest.mark.parametrize(
    ("hint", "node"),
    [
        (PeerHint("database", address="pg-1.internal", name="orders", system="postgresql"), "orders@pg-1.internal"),
        (PeerHint("database", address="pg-1.internal", system="postgresql"), "pg-1.internal"),
        (PeerHint("database", name="orders", system="postgresql"), "postgresql"),
        (PeerHint("database", system="redis"), "redis"),
        (PeerHint("database", name="orders"), "orders"),
    ],
)
def test_database_is_named_by_what_tells_it_apart(hint: PeerHint, node: str) -> None:
    assert resolved((CLIENT, hint, 0)) == [Node(node, "database")]


@pytest.mark.parametrize("kind", [SERVER, CONSUMER])
def test_caller_is_named_or_owned_but_never_an_address(kind: int) -> None:
    assert resolved(
        (kind, PeerHint(service="shop/web", address="192.0.2.1"), 0),
        (kind, PeerHint(address="10.0.0.5"), 0),
        (kind, PeerHint(address="192.0.2.1"), 0),
    ) == [Node("shop/web"), Node("shop/cart"), None]


def test_one_hint_of_both_sides_is_judged_for_each() -> None:
    hint = PeerHint(address="192.0.2.1")
    assert resolved((SERVER, hint, 0), (CLIENT, hint, 0)) == [None, Node("192.0.2.1", "external")]


def test_hint_that_says_nothing_is_nobody() -> None:
    assert resolved((CLIENT, PeerHint(), 0), (CLIENT, None, 0), (CLIENT, PeerHint("database"), 0)) == [None] * 3


def test_aliases_rename_both_ends() -> None:
    aliases = {"shop/frontend": "shop/web", "shop/cart": "shop/basket", "api.example": "partner"}
    words = Vocabulary()
    rows = np.zeros(3, SPAN)
    rows["kind"], rows["service"] = CLIENT, [words.service("shop/frontend"), words.service("shop/other"), -1]
    hints = (PeerHint(address="10.0.0.5"), PeerHint(address="api.example"), PeerHint(service="shop/cart"))
    rows["peer"] = [words.hints.code(hint) for hint in hints]
    resolve_peers(SpanBatch(rows), words, OWNED, aliases)
    assert [words.nodes[code].id if code >= 0 else None for code in rows["service"].tolist()] == [
        "shop/web",
        "shop/other",
        None,
    ]
    assert [words.nodes[code] for code in rows["peer"].tolist()] == [
        Node("shop/basket"),
        Node("partner", "external"),
        Node("shop/basket"),
    ]


def test_empty_batch_and_no_identities_are_fine() -> None:
    assert resolved() == []
    assert resolved((CLIENT, PeerHint(address="10.0.0.5"), 0), identities=Identities()) == [
        Node("10.0.0.5", "external")
    ]


def test_peer_with_the_spans_own_id_is_that_service_whatever_its_kind() -> None:
    words = Vocabulary()
    rows = np.zeros(2, SPAN)
    rows["kind"], rows["service"] = CLIENT, words.service("shop/pg")
    rows["peer"] = [words.hints.code(PeerHint("database", address="10.0.0.5", port=port)) for port in (5432, 0)]
    resolve_peers(SpanBatch(rows), words, OWNED, {})
    assert [words.nodes[code] for code in rows["peer"].tolist()] == [Node("shop/pg"), Node("shop/cart", "database")]
