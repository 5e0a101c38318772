"""What a span says of the other side of its call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronotope.ingest.spans.columns import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, UNSPECIFIED, PeerHint
from chronotope.ingest.spans.hosts import url_authority
from chronotope.ingest.spans.semconv import CALLEE_KEYS, PRESENCE_KEYS, RELEVANT_KEYS, URL_KEYS, VALUE_KEYS, describe

Case = tuple[int, dict[str, object], PeerHint | None, str]

CASES: dict[str, Case] = {
    "peer.service names the callee": (
        CLIENT,
        {"peer.service": "orders"},
        PeerHint(service="orders"),
        "unknown",
    ),
    "service.peer.name names the callee with its namespace": (
        CLIENT,
        {"service.peer.name": "orders", "service.peer.namespace": "shop"},
        PeerHint(service="shop/orders"),
        "unknown",
    ),
    "new HTTP conventions": (
        CLIENT,
        {"server.address": "Orders.", "server.port": 8080, "http.request.method": "GET"},
        PeerHint(address="orders", port=8080),
        "http",
    ),
    "old HTTP conventions": (
        CLIENT,
        {"net.peer.name": "orders", "net.peer.port": "8080", "http.method": "GET"},
        PeerHint(address="orders", port=8080),
        "http",
    ),
    "what was dialled is trusted before what was reached": (
        CLIENT,
        {"network.peer.address": "10.0.0.9", "network.peer.port": 1, "server.address": "orders"},
        PeerHint(address="orders"),
        "unknown",
    ),
    "a missing port comes from another naming of the same host": (
        CLIENT,
        {"network.peer.address": "10.0.0.9", "network.peer.port": 81, "server.address": "10.0.0.9"},
        PeerHint(address="10.0.0.9", port=81),
        "unknown",
    ),
    "of a URL only the authority counts": (
        CLIENT,
        {"url.full": "HTTPS://user:pw@Orders:8443/a?b#c"},
        PeerHint(address="orders", port=8443),
        "http",
    ),
    "a URL's port defaults to its scheme's": (
        CLIENT,
        {"http.url": "https://orders/x"},
        PeerHint(address="orders", port=443),
        "http",
    ),
    "http.host with its scheme": (
        CLIENT,
        {"http.host": "orders", "http.scheme": "http"},
        PeerHint(address="orders", port=80),
        "http",
    ),
    "an address that holds its port": (
        CLIENT,
        {"server.address": "10.77.0.2:8080", "server.port": 5000},
        PeerHint(address="10.77.0.2", port=8080),
        "unknown",
    ),
    "OpenTracing peer.hostname and peer.port": (
        CLIENT,
        {"peer.hostname": "orders", "peer.port": 90},
        PeerHint(address="orders", port=90),
        "unknown",
    ),
    "OpenTracing peer.address": (
        CLIENT,
        {"peer.address": "[::1]:90"},
        PeerHint(address="::1", port=90),
        "unknown",
    ),
    "peer.ipv4 packed by a Jaeger client": (
        CLIENT,
        {"peer.ipv4": -1062731775},
        PeerHint(address="192.168.0.1"),
        "unknown",
    ),
    "IPv4-mapped IPv6 is IPv4": (
        CLIENT,
        {"net.peer.ip": "::ffff:10.0.0.1", "net.peer.port": 50051},
        PeerHint(address="10.0.0.1", port=50051),
        "unknown",
    ),
    "bracketed mapped IPv6": (
        CLIENT,
        {"server.address": "[::FFFF:10.0.0.1]:7"},
        PeerHint(address="10.0.0.1", port=7),
        "unknown",
    ),
    "a bare IPv6 address has no port": (
        CLIENT,
        {"server.address": "fe80::1%eth0"},
        PeerHint(address="fe80::1"),
        "unknown",
    ),
    "a gRPC target": (
        CLIENT,
        {"server.address": "dns:///orders:50051", "rpc.system": "grpc"},
        PeerHint(address="orders", port=50051),
        "grpc",
    ),
    "net.sock.peer": (
        CLIENT,
        {"net.sock.peer.addr": "10.0.0.1", "net.sock.peer.port": 5},
        PeerHint(address="10.0.0.1", port=5),
        "unknown",
    ),
    "nowhere is nobody": (CLIENT, {"server.address": "0.0.0.0", "server.port": 80}, None, "unknown"),
    "no attribute names nobody": (CLIENT, {}, None, "unknown"),
    "a database by old conventions": (
        CLIENT,
        {
            "db.system": "postgresql",
            "db.name": "orders",
            "net.peer.name": "pg-1.internal",
            "net.peer.port": 5432,
        },
        PeerHint("database", "", "pg-1.internal", 5432, "orders", "postgresql"),
        "postgresql",
    ),
    "a database by new conventions": (
        CLIENT,
        {"db.system.name": "microsoft.sql_server", "db.namespace": "orders", "server.address": "ms-1"},
        PeerHint("database", "", "ms-1", 0, "orders", "mssql"),
        "mssql",
    ),
    "a database by OpenTracing tags": (
        CLIENT,
        {"db.type": "SQL", "db.instance": "orders", "peer.service": "main-db"},
        PeerHint("database", "main-db", "", 0, "orders", "sql"),
        "sql",
    ),
    "a database of which only the system is known": (
        CLIENT,
        {"db.system": "redis", "http.method": "GET"},
        PeerHint("database", system="redis"),
        "redis",
    ),
    "a database behind a connection string": (
        CLIENT,
        {"db.system": "redis", "db.connection_string": "redis://:pw@cache:6379/0"},
        PeerHint("database", address="cache", port=6379, system="redis"),
        "redis",
    ),
    "a producer's other side is the topic": (
        PRODUCER,
        {"messaging.system": "RabbitMQ", "messaging.destination.name": "orders", "server.address": "mq"},
        PeerHint("messaging", name="orders", system="rabbitmq"),
        "rabbitmq",
    ),
    "a consumer's other side is the topic": (
        CONSUMER,
        {"messaging.system": "rabbitmq", "messaging.destination": "orders"},
        PeerHint("messaging", name="orders", system="rabbitmq"),
        "rabbitmq",
    ),
    "messaging without a destination": (
        PRODUCER,
        {"messaging.system": "rabbitmq"},
        PeerHint("messaging", system="rabbitmq"),
        "rabbitmq",
    ),
    "OpenTracing message bus": (
        PRODUCER,
        {"message_bus.destination": "orders"},
        PeerHint("messaging", name="orders"),
        "unknown",
    ),
    "kafka known by its own attributes": (
        CONSUMER,
        {"messaging.kafka.consumer.group": "g", "messaging.destination.name": "t"},
        PeerHint("messaging", name="t", system="kafka"),
        "kafka",
    ),
    "Zipkin's kafka.topic": (
        CONSUMER,
        {"kafka.topic": "t", "peer.service": "kafka"},
        PeerHint("messaging", "kafka", name="t", system="kafka"),
        "kafka",
    ),
    "a temporary destination is its template": (
        PRODUCER,
        {
            "messaging.system": "jms",
            "messaging.destination.name": "reply-4711",
            "messaging.destination.temporary": True,
            "messaging.destination.template": "reply-*",
        },
        PeerHint("messaging", name="reply-*", system="jms"),
        "jms",
    ),
    "an anonymous destination has no name": (
        PRODUCER,
        {
            "messaging.system": "jms",
            "messaging.destination.name": "x4711",
            "messaging.destination.anonymous": "true",
        },
        PeerHint("messaging", system="jms"),
        "jms",
    ),
    "a consumer without a topic names its caller": (
        CONSUMER,
        {"peer.service": "mailer", "net.peer.ip": "10.0.0.4"},
        PeerHint(service="mailer", address="10.0.0.4"),
        "unknown",
    ),
    "a server's other side is its direct peer, without the ephemeral port": (
        SERVER,
        {"net.peer.ip": "::ffff:10.0.0.4", "net.peer.port": 46674, "http.method": "GET"},
        PeerHint(address="10.0.0.4"),
        "http",
    ),
    "a server's own address, host and URL name no caller": (
        SERVER,
        {
            "server.address": "me",
            "http.host": "me",
            "http.url": "http://me/x",
            "net.peer.name": "me",
            "client.address": "1.2.3.4",
        },
        None,
        "http",
    ),
    "a server's caller by name": (SERVER, {"peer.service": "web"}, PeerHint(service="web"), "unknown"),
    "an internal span has no other side": (INTERNAL, {"peer.service": "x", "db.system": "h2"}, None, "h2"),
    "no kind, but a span.kind tag": (
        UNSPECIFIED,
        {"span.kind": "client", "peer.address": "10.0.0.1:80"},
        PeerHint(address="10.0.0.1", port=80),
        "unknown",
    ),
    "no kind, but a server's tag": (
        UNSPECIFIED,
        {"span.kind": "server", "peer.address": "10.0.0.1:45000"},
        PeerHint(address="10.0.0.1"),
        "unknown",
    ),
    "no kind, an address alone is on neither side": (
        UNSPECIFIED,
        {"peer.address": "172.18.0.1:53860", "http.url": "http://localhost:8080/"},
        None,
        "http",
    ),
    "no kind, but a database": (
        UNSPECIFIED,
        {"db.type": "redis", "peer.hostname": "cache"},
        PeerHint("database", address="cache", system="redis"),
        "redis",
    ),
    "no kind, but a service": (
        UNSPECIFIED,
        {"peer.service": "orders"},
        PeerHint(service="orders"),
        "unknown",
    ),
    "a kind of the future is unspecified": (9, {"peer.address": "10.0.0.1"}, None, "unknown"),
    "Zipkin's gRPC": (CLIENT, {"grpc.status_code": "0", "http.path": "/x"}, None, "grpc"),
    "values of unexpected types are absent": (
        CLIENT,
        {"peer.service": [1], "server.address": b"x", "server.port": True, "http.url": 3},
        None,
        "unknown",
    ),
    "control characters are cleaned": (
        CLIENT,
        {"peer.service": "a\nb"},
        PeerHint(service="a\ufffdb"),
        "unknown",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_attributes_describe_the_other_side(name: str) -> None:
    kind, attributes, hint, protocol = CASES[name]
    assert describe(kind, attributes) == (hint, protocol)


def test_every_key_that_a_case_uses_is_declared_relevant() -> None:
    """A decoder's cache looks at RELEVANT_KEYS alone."""
    assert len(set(RELEVANT_KEYS)) == len(RELEVANT_KEYS)
    for name, (kind, attributes, hint, protocol) in CASES.items():
        relevant = {key: value for key, value in attributes.items() if key in RELEVANT_KEYS}
        assert describe(kind, relevant) == (hint, protocol), name
    assert set(CALLEE_KEYS) <= set(RELEVANT_KEYS)


values = st.sampled_from(
    [
        "",
        "a",
        "b:80",
        "10.0.0.1",
        "[::1]:8",
        "http://h/p",
        "http://h:1/q",
        "https://x",
        "true",
        "client",
        "server",
        7,
        -3,
        True,
    ]
)


def signature(kind: int, attributes: dict[str, object]) -> tuple[object, ...]:
    """Return what the module's invariant says `describe` may look at."""
    called = kind in (SERVER, INTERNAL)
    seen: list[tuple[str, object]] = []
    for key, value in sorted(attributes.items()):
        if called and key in CALLEE_KEYS:
            continue
        if key in PRESENCE_KEYS or (called and key == "http.host"):
            seen.append((key, None))
        elif key in URL_KEYS:
            authority = url_authority(value) if isinstance(value, str) else ""
            seen.append((key, authority.partition("://")[0] if called else authority))
        elif key in VALUE_KEYS:
            seen.append((key, (type(value), value)))
    return kind, tuple(seen)


@given(
    st.integers(0, 5),
    st.dictionaries(st.sampled_from(RELEVANT_KEYS), values, max_size=6),
    st.dictionaries(
        st.sampled_from(sorted({*CALLEE_KEYS, *URL_KEYS, *PRESENCE_KEYS, "http.host"})), values, max_size=6
    ),
)
def test_spans_of_one_signature_are_described_alike(
    kind: int, attributes: dict[str, object], changed: dict[str, object]
) -> None:
    """Otherwise a decoder's cache would give one span another's peer."""
    other = attributes | changed
    if signature(kind, attributes) == signature(kind, other):
        assert describe(kind, attributes) == describe(kind, other)
