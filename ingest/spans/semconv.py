"""What a span's attributes say: its peer, its protocol, its service, and how many calls it stands for.

Understood are OpenTelemetry's semantic conventions, old and new, OpenTracing and Jaeger tags, and Zipkin's.

Invariant: everything here is a pure function of its arguments. `describe` depends on nothing but the kind, the values
of `VALUE_KEYS`, the presence of `PRESENCE_KEYS` and the `url_authority` of `URL_KEYS`. For a server span and an
internal one, `CALLEE_KEYS` say nothing, only the presence of `http.host` counts, and only the scheme of `URL_KEYS`.
Decoders cache by exactly that.

Sources: https://opentelemetry.io/docs/specs/semconv/, https://opentracing.io/specification/conventions/,
https://github.com/openzipkin/brave (tags of its instrumentations).
"""

from __future__ import annotations

from collections.abc import Mapping

from chronotope.ingest.spans.columns import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, UNSPECIFIED, PeerHint
from chronotope.ingest.spans.hosts import (
    default_port,
    parse_port,
    split_host_port,
    split_url,
    unpack_ipv4,
    url_authority,
)
from chronotope.schema.names import clean_name, service_id

Attributes = Mapping[str, object]

_KINDS = {
    "internal": INTERNAL,
    "server": SERVER,
    "client": CLIENT,
    "producer": PRODUCER,
    "consumer": CONSUMER,
}

# Address keys in order of trust, each with its port's key: what the caller dialled, then what it reached.
_DIALLED = (("server.address", "server.port"), ("net.peer.name", "net.peer.port"))
_REACHED = (
    ("peer.hostname", "peer.port"),
    ("peer.address", "peer.port"),
    ("network.peer.address", "network.peer.port"),
    ("net.sock.peer.name", "net.sock.peer.port"),
    ("net.sock.peer.addr", "net.sock.peer.port"),
    ("net.peer.ip", "net.peer.port"),
    ("peer.ipv4", "peer.port"),
    ("peer.ipv6", "peer.port"),
)
_CALLER = (
    "network.peer.address",
    "net.sock.peer.addr",
    "net.peer.ip",
    "peer.address",
    "peer.ipv4",
    "peer.ipv6",
)

_DATABASE_SYSTEM = ("db.system.name", "db.system", "db.type")
_DATABASE_NAME = ("db.namespace", "db.name", "db.instance")
_DATABASE_SIGNS = {"db.redis.database_index": "redis", "redis.command": "redis", "sql.query": "sql"}

_DESTINATION = ("messaging.destination.name", "messaging.destination", "message_bus.destination")
_DESTINATION_UNBOUNDED = (
    "messaging.destination.temporary",
    "messaging.destination.anonymous",
    "messaging.temp_destination",
)
_KAFKA_SIGNS = (
    "messaging.kafka.consumer.group",
    "messaging.kafka.consumer_group",
    "messaging.kafka.destination.partition",
    "messaging.kafka.partition",
    "messaging.kafka.message.key",
    "messaging.kafka.message_key",
    "messaging.kafka.message.offset",
    "messaging.kafka.offset",
)
_BRAVE_DESTINATION = {
    "kafka.topic": "kafka",
    "rabbit.exchange": "rabbitmq",
    "rabbit.routing_key": "rabbitmq",
    "rabbit.queue": "rabbitmq",
    "jms.queue": "jms",
    "jms.topic": "jms",
}

_RPC_SYSTEM = ("rpc.system.name", "rpc.system")
_GRPC_SIGNS = ("rpc.grpc.status_code", "grpc.status_code", "grpc.method")
_HTTP_SIGNS = (
    "http.method",
    "http.request.method",
    "http.status_code",
    "http.response.status_code",
    "http.route",
    "http.target",
    "http.path",
    "http.flavor",
    "http.protocol",
    "http.host",
)
_URLS = ("url.full", "http.url")

VALUE_KEYS: tuple[str, ...] = (
    "span.kind",
    "peer.service",
    "service.peer.name",
    "service.peer.namespace",
    *dict.fromkeys(key for pair in (*_DIALLED, *_REACHED) for key in pair),
    "http.host",
    "http.scheme",
    *_DATABASE_SYSTEM,
    *_DATABASE_NAME,
    "messaging.system",
    "messaging.destination.template",
    *_DESTINATION,
    *_DESTINATION_UNBOUNDED,
    *_BRAVE_DESTINATION,
    *_RPC_SYSTEM,
)
PRESENCE_KEYS: tuple[str, ...] = (
    *_DATABASE_SIGNS,
    *_KAFKA_SIGNS,
    *_GRPC_SIGNS,
    *(key for key in _HTTP_SIGNS if key != "http.host"),
)
URL_KEYS: tuple[str, ...] = (*_URLS, "db.connection_string")

RELEVANT_KEYS: tuple[str, ...] = VALUE_KEYS + PRESENCE_KEYS + URL_KEYS

# On a server span these mean nothing: they name the callee, or the caller's ephemeral port.
CALLEE_KEYS: frozenset[str] = frozenset(
    {
        *(address for address, _ in (*_DIALLED, *_REACHED) if address not in _CALLER),
        *(port for _, port in (*_DIALLED, *_REACHED)),
        *_DATABASE_NAME,
        "db.connection_string",
    }
)

# One system, two spellings: the edge's protocol must not change when an SDK is upgraded.
_SYSTEM_ALIASES = {
    "microsoft.sql_server": "mssql",
    "oracle.db": "oracle",
    "aws.dynamodb": "dynamodb",
    "aws.redshift": "redshift",
    "azure.cosmosdb": "cosmosdb",
    "gcp.spanner": "spanner",
    "ibm.db2": "db2",
    "sap.hana": "hanadb",
    "amazonsqs": "aws_sqs",
    "apache_dubbo": "dubbo",
}


def kind_of_tag(text: str) -> int:
    """Return the span kind that a `span.kind` tag names (`client`, `SPAN_KIND_CLIENT`), else UNSPECIFIED."""
    return _KINDS.get(text.strip().lower().removeprefix("span_kind_"), UNSPECIFIED)


def effective_kind(kind: int, attributes: Attributes) -> int:
    """Return the span's kind; where it is unspecified or no known kind, what its `span.kind` tag says."""
    if UNSPECIFIED < kind <= CONSUMER:
        return kind
    return kind_of_tag(_text(attributes, "span.kind"))


def describe(kind: int, attributes: Attributes) -> tuple[PeerHint | None, str]:
    """Return what the attributes say of the other side, and the protocol.

    Args:
        kind: 0 to 5 as OTLP numbers them; 0 becomes what the `span.kind` tag says.
        attributes: the span's attributes; a value of an unexpected type counts as absent.

    Returns:
        The hint: of the callee for a client or producer; of the caller for a server; of the topic for a
        consumer that names one, else of the caller. None when the attributes name nobody, and for internal
        spans. A span that stays unspecified is taken for a client only when it names a service, a database or
        a topic: an address alone could be on either side. The protocol: database, messaging or RPC system,
        else `http`, else `unknown`.
    """
    kind = effective_kind(kind, attributes)
    database, messaging = _database_system(attributes), _messaging_system(attributes)
    topic = _destination(attributes)
    protocol = database or messaging or _rpc_system(attributes) or _http(attributes) or "unknown"
    if kind == INTERNAL:
        return None, protocol
    service = _peer_service(attributes)
    if (messaging or topic) and not database and kind != SERVER:
        return PeerHint("messaging", service, name=topic, system=messaging), protocol
    if kind in (SERVER, CONSUMER):
        address = _caller_address(attributes)
        return (PeerHint(service=service, address=address) if service or address else None), protocol
    if kind == UNSPECIFIED and not (service or database):
        return None, protocol
    address, port = _callee_address(attributes)
    if database:
        name = _first(attributes, _DATABASE_NAME)
        return PeerHint("database", service, address, port, name, database), protocol
    return (PeerHint("external", service, address, port) if service or address else None), protocol


def service_of(resource_attributes: Attributes) -> str:
    """Return the service id `namespace/name` of a resource; empty when it has no `service.name`.

    The namespace is `service.namespace`, else `k8s.namespace.name`, else empty.
    """
    name = _text(resource_attributes, "service.name")
    return service_id(name, _first(resource_attributes, ("service.namespace", "k8s.namespace.name")))


def _text(attributes: Attributes, key: str) -> str:
    value = attributes.get(key)
    if isinstance(value, str):
        return clean_name(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _first(attributes: Attributes, keys: tuple[str, ...]) -> str:
    return next((text for key in keys if (text := _text(attributes, key))), "")


def _system(text: str) -> str:
    return _SYSTEM_ALIASES.get(text.lower(), text.lower())


def _database_system(attributes: Attributes) -> str:
    named = _first(attributes, _DATABASE_SYSTEM)
    return _system(named) or next((name for key, name in _DATABASE_SIGNS.items() if key in attributes), "")


def _messaging_system(attributes: Attributes) -> str:
    named = _text(attributes, "messaging.system")
    if named:
        return _system(named)
    if any(key in attributes for key in _KAFKA_SIGNS):
        return "kafka"
    return next((system for key, system in _BRAVE_DESTINATION.items() if _text(attributes, key)), "")


def _destination(attributes: Attributes) -> str:
    if any(str(attributes.get(key)).lower() == "true" for key in _DESTINATION_UNBOUNDED):
        return _text(attributes, "messaging.destination.template")
    return _first(attributes, (*_DESTINATION, *_BRAVE_DESTINATION))


def _rpc_system(attributes: Attributes) -> str:
    named = _first(attributes, _RPC_SYSTEM)
    return _system(named) or ("grpc" if any(key in attributes for key in _GRPC_SIGNS) else "")


def _http(attributes: Attributes) -> str:
    if any(key in attributes for key in _HTTP_SIGNS):
        return "http"
    return "http" if any(_url(attributes, key).startswith(("http:", "https:")) for key in _URLS) else ""


def _url(attributes: Attributes, key: str) -> str:
    value = attributes.get(key)
    return url_authority(value).lower() if isinstance(value, str) else ""


def _peer_service(attributes: Attributes) -> str:
    named = _text(attributes, "peer.service")
    namespace = _text(attributes, "service.peer.namespace")
    return named or service_id(_text(attributes, "service.peer.name"), namespace)


def _caller_address(attributes: Attributes) -> str:
    return next((host for key in _CALLER if (host := _host_port(attributes, key)[0])), "")


def _callee_address(attributes: Attributes) -> tuple[str, int]:
    """Return the most trusted address; a missing port comes from the next key that names the same host."""
    places = [_place(attributes, *keys) for keys in _DIALLED]
    places += [split_url(_url(attributes, key)) for key in _URLS]
    scheme = _text(attributes, "http.scheme")
    host, port = _host_port(attributes, "http.host")
    places.append((host, port or default_port(scheme)))
    places += [_place(attributes, *keys) for keys in _REACHED]
    places.append(split_url(_url(attributes, "db.connection_string")))
    address = next((host for host, _ in places if host), "")
    return address, next((port for host, port in places if port and host == address), 0) if address else 0


def _place(attributes: Attributes, address_key: str, port_key: str) -> tuple[str, int]:
    host, port = _host_port(attributes, address_key)
    return host, port or parse_port(_text(attributes, port_key))


def _host_port(attributes: Attributes, key: str) -> tuple[str, int]:
    value = attributes.get(key)
    if key == "peer.ipv4" and isinstance(value, int):
        return unpack_ipv4(value), 0
    return split_host_port(_text(attributes, key))
