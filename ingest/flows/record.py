"""The fields of flow records, checked by columns.

Invariant: a row that is alive can be stored as it is. Every other row was refused with its reason.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import msgspec
import numpy as np
import pyarrow as pa

from chronotope.ingest.flows.rows import MEASURES, OBSERVERS, TRANSPORTS
from chronotope.ingest.records.spreading import LONGEST_MS
from chronotope.ingest.requests import fields
from chronotope.ingest.requests.fields import NO_TIME, TIME, Count, Text, Traffic, line_schema
from chronotope.ingest.requests.ndjson import ParseTime
from chronotope.ingest.requests.outcome import Records
from chronotope.schema.addresses import is_ipv4, parse_ip
from chronotope.schema.names import MAX_NAME, service_id
from chronotope.schema.observations import DIRECTIONS
from chronotope.schema.times import shortened

MAX_PORT = 65535

_Port = Annotated[int, msgspec.Meta(ge=0, le=MAX_PORT)] | None


class FlowLine(Traffic, kw_only=True):
    """The fields of an NDJSON line and their types."""

    start: int
    client_address: str
    server_address: str
    observer: str
    end: int | None = None
    client_port: _Port = None
    server_port: _Port = None
    transport: str | None = None
    direction: str | None = None
    active: Count = None
    rtt_us_sum: Count = None
    rtt_count: Count = None
    translated_server_address: str | None = None
    translated_server_port: _Port = None
    service: str | None = None
    namespace: str | None = None
    instance: str | None = None
    host: str | None = None


_NUMBERS = (*MEASURES, "active", "client_port", "server_port", "translated_server_port")
LINE_SCHEMA = line_schema(FlowLine, dict.fromkeys(_NUMBERS, pa.float64()) | {"start": TIME, "end": TIME})


@dataclass(frozen=True, slots=True)
class ParsedFlows:
    """N records, with refused ones among them. Only rows of `Records.alive` have a meaning."""

    start_ms: np.ndarray
    end_ms: np.ndarray  # not before the start
    client: Text  # address in its one spelling
    server: Text  # address; where it is known to be translated, the real one
    own: Text  # service id of the observing side; absent: not said
    instance: Text
    host: Text
    ports: Mapping[str, np.ndarray]  # client, server
    transport: np.ndarray  # index into TRANSPORTS
    observer: np.ndarray  # index into OBSERVERS
    direction: np.ndarray  # index into DIRECTIONS
    counts: Mapping[str, np.ndarray]  # of MEASURES, and active


def parse_flows(records: Records, parse_time: ParseTime) -> ParsedFlows:
    """Check every field of every record. A record with a wrong field is refused in `records`.

    Raises:
        InvalidPayload: an Arrow column of a type that can't hold its field.
    """
    start, end = _interval(records, parse_time)
    host = fields.text(records, "host").or_else("")
    server, server_port = _server(records)
    return ParsedFlows(
        start_ms=start,
        end_ms=end,
        client=_on_host(_address(records, "client_address", required=True), host),
        server=_on_host(server, host),
        own=_own(records),
        instance=fields.text(records, "instance").or_else(""),
        host=host,
        ports={"client": _port(records, "client_port")[0], "server": server_port},
        transport=_choice(records, "transport", TRANSPORTS, "tcp"),
        observer=_choice(records, "observer", OBSERVERS, ""),
        # A record that does not say how it knows the two ends is trusted.
        direction=_choice(records, "direction", DIRECTIONS, "syn"),
        counts={name: fields.count(records, name)[0] for name in (*MEASURES, "active")},
    )


def _interval(records: Records, parse_time: ParseTime) -> tuple[np.ndarray, np.ndarray]:
    start = fields.time_ms(records, "start", parse_time)
    records.refuse(start == NO_TIME, lambda _: "start is missing")
    end = fields.time_ms(records, "end", parse_time)
    end = np.where(end == NO_TIME, start, end)
    records.refuse(end < start, lambda _: "end is before start")
    records.refuse(end - start > LONGEST_MS, lambda _: f"the record is longer than {LONGEST_MS // 3_600_000} h")
    return start, end


def _address(records: Records, name: str, *, required: bool) -> Text:
    said = fields.raw_text(records, name)
    addresses = list(map(address_text, said.values))
    if required:
        records.refuse(said.is_in([""]), lambda _: f"{name} is missing; use an IP address")
    wrong = {value for value, address in zip(said.values, addresses, strict=True) if value and not address}
    if wrong:
        records.refuse(
            said.is_in(wrong),
            lambda row: f"{name} {shortened(said[row])} is not accepted; use the IP address of a host",
        )
    return said.renamed(addresses)


def address_text(said: str) -> str:
    """Return an IP address in its one spelling; empty for other text and for the unspecified address."""
    return _address_text(said) if len(said) <= MAX_NAME else ""  # no long text is kept in memory


@lru_cache(maxsize=262_144)  # the same addresses come again with each request
def _address_text(said: str) -> str:
    number = parse_ip(said.strip())
    if number is None:
        return ""
    if is_ipv4(number):
        number &= 0xFFFFFFFF
        return socket.inet_ntop(socket.AF_INET, number.to_bytes(4, "big")) if number else ""
    return socket.inet_ntop(socket.AF_INET6, number.to_bytes(16, "big")) if number else ""


def _server(records: Records) -> tuple[Text, np.ndarray]:
    """Return the server's address and port; behind NAT the translated ones, if they are given."""
    address = _address(records, "server_address", required=True)
    port, _ = _port(records, "server_port")
    real = _address(records, "translated_server_address", required=False)
    real_port, given = _port(records, "translated_server_port")
    if not real.values:
        return address, port
    known = ~real.is_in([""])
    joined = Text(np.where(known, real.codes + len(address.values), address.codes), [*address.values, *real.values])
    return joined.mapped(str), np.where(known & given, real_port, port)


def _on_host(address: Text, host: Text) -> Text:
    """Make the loopback addresses of hosts different: `127.0.0.1%host`."""
    loopback = [value for value in address.values if value.startswith("127.") or value == "::1"]
    if not loopback:
        return address
    hosts = max(len(host.values), 1)
    local = address.is_in(loopback)
    pair = np.where(local, address.codes * hosts + host.codes, -1)
    distinct, inverse = np.unique(pair, return_inverse=True)
    texts = [f"{address.values[code // hosts]}%{host.values[code % hosts]}".rstrip("%") for code in distinct.tolist()]
    codes = np.where(local, inverse + len(address.values), address.codes)
    return Text(codes, [*address.values, *texts]).mapped(str)


def _own(records: Records) -> Text:
    service, namespace = fields.text(records, "service"), fields.text(records, "namespace")
    spaces = len(namespace.values) + 1
    distinct, inverse = np.unique((service.codes + 1) * spaces + namespace.codes + 1, return_inverse=True)
    ids = [_joined(service.values, namespace.values, *divmod(code, spaces)) for code in distinct.tolist()]
    return Text(inverse.reshape(-1), ids).mapped(str)


def _joined(services: Sequence[str], namespaces: Sequence[str], service: int, namespace: int) -> str:
    name = services[service - 1] if service else ""
    return service_id(name, namespaces[namespace - 1] if namespace else "")


def _port(records: Records, name: str) -> tuple[np.ndarray, np.ndarray]:
    port, given = fields.count(records, name)
    records.refuse(port > MAX_PORT, lambda row: f"{name} {port[row]} is out of range; accepted: 0 to {MAX_PORT}")
    return port, given


def _choice(records: Records, name: str, accepted: Sequence[str], default: str) -> np.ndarray:
    """Return the index of each record's value among the accepted ones. A record may not give the empty text."""
    said = fields.text(records, name).or_else(default).mapped(str.lower)
    fields.accept(records, name, said, [value for value in accepted if value])
    return said.places(accepted)
