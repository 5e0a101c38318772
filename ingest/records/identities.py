"""`POST /api/v1/identities`: who owns an address from when to when.

Invariant: a record that the answer counts as accepted is durable, and the running server attributes by it from then on.
A record without `to` is a heartbeat: it names the owner for the configured lifetime, longer if it repeats, shorter if
another owner has a heartbeat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
import numpy as np
import pyarrow as pa
from flask import Blueprint, Response, request

from chronotope.ingest.identity.owners import REPORTED, Ownership
from chronotope.ingest.requests import fields
from chronotope.ingest.requests.body import read_body
from chronotope.ingest.requests.fields import NO_TIME, STRINGS, Text
from chronotope.ingest.requests.ndjson import ParseTime
from chronotope.ingest.requests.outcome import Records, insert_token
from chronotope.ingest.requests.records import Clock, check_content_type, read_records, time_parser
from chronotope.schema.addresses import parse_address_range
from chronotope.schema.errors import InvalidValue
from chronotope.schema.names import service_id
from chronotope.schema.observations import KINDS
from chronotope.schema.times import LATEST_MS, shortened

HEARTBEAT_S = 300
MAX_PORT = 65535


class IdentityLine(msgspec.Struct):
    """The fields of an NDJSON line and their types; what a value means is checked by columns."""

    address: str
    service: str
    port: Annotated[int, msgspec.Meta(ge=0, le=MAX_PORT)] | None = None
    namespace: str | None = None
    kind: str | None = None
    valid_from: int | None = msgspec.field(default=None, name="from")
    valid_to: int | None = msgspec.field(default=None, name="to")
    attributes: dict[str, str | int | float | bool | None] | None = None


_TYPES = {
    "port": pa.float64(),
    "from": pa.timestamp("ms", tz="UTC"),
    "to": pa.timestamp("ms", tz="UTC"),
    "attributes": STRINGS,
}
LINE_SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in IdentityLine.__struct_encode_fields__])


def identities_blueprint(
    write: Callable[[pa.Table, str], None],
    *,
    clock: Clock,
    max_body_bytes: int,
    heartbeat_s: int = HEARTBEAT_S,
) -> Blueprint:
    """Return the route.

    Args:
        write: makes columns of the table `identities` durable, under a token, and attributes by them from then on.
        clock: returns Unix milliseconds: the start of a record without `from`.
        max_body_bytes: the largest body, packed and unpacked.
        heartbeat_s: how long a record without `to` holds.
    """
    blueprint = Blueprint("identities", __name__)

    @blueprint.post("/api/v1/identities")
    def post_identities() -> Response:
        check_content_type(request)
        body, now_ms = read_body(request, max_body_bytes), clock()
        token = insert_token(request, body)
        records = read_records(request, body, IdentityLine, LINE_SCHEMA, now_ms, max_body_bytes)
        table = identity_table(records, time_parser(now_ms), now_ms, heartbeat_s)
        if table.num_rows:
            write(table, token)
        return records.answer(table.num_rows)

    return blueprint


def identity_table(records: Records, parse_time: ParseTime, now_ms: int, heartbeat_s: int) -> pa.Table:
    """Check every record, and return those accepted as columns of the table `identities`.

    Raises:
        InvalidPayload: an Arrow column of a type that can't hold its field.
    """
    address = _addresses(records)
    service, namespace = fields.text(records, "service"), fields.text(records, "namespace")
    records.refuse(service.is_in([""]), lambda _: "service is missing; use the service's name or id")
    port, _ = fields.count(records, "port")
    records.refuse(port > MAX_PORT, lambda row: f"port {port[row]} is out of range; accepted: 0 (any) to {MAX_PORT}")
    kind = fields.text(records, "kind").or_else("service")
    records.refuse(
        ~kind.is_in(KINDS), lambda row: f"kind {shortened(kind[row])} is not known; accepted: {', '.join(KINDS)}"
    )
    begin, end, heartbeat = _range(records, parse_time, now_ms, heartbeat_s * 1000)
    attributes = fields.strings(records, "attributes")
    kept = np.flatnonzero(records.alive)
    return pa.table(
        {
            "address": address.arrow(kept).cast(pa.string()),
            "port": port[kept].astype(np.uint16),
            "service": pa.array([service_id(service[row], namespace[row]) for row in kept.tolist()], pa.string()),
            "kind": kind.arrow(kept),
            "valid_from": pa.array(begin[kept]).cast(pa.timestamp("ms", tz="UTC")),
            "valid_to": pa.array(end[kept]).cast(pa.timestamp("ms", tz="UTC")),
            "heartbeat": heartbeat[kept].astype(np.uint8),
            "rank": np.full(len(kept), REPORTED, np.uint8),
            "attributes": attributes.take(pa.array(kept)),
        }
    )


def claims_of(table: pa.Table) -> list[Ownership]:
    """Return the rows of the table `identities` as claims."""
    times = (table.column(name).cast(pa.int64()).to_pylist() for name in ("valid_from", "valid_to"))
    texts = (table.column(name).to_pylist() for name in ("address", "service", "port", "kind"))
    heartbeats = (heartbeat == 1 for heartbeat in table.column("heartbeat").to_pylist())
    ranks = table.column("rank").to_pylist()
    return [Ownership(*row) for row in zip(*texts, *times, heartbeats, ranks, strict=True)]


def claims_table(claims: Sequence[Ownership]) -> pa.Table:
    """Return claims as columns of the table `identities`."""
    instants = pa.timestamp("ms", tz="UTC")
    return pa.table(
        {
            "address": [claim.address for claim in claims],
            "port": np.array([claim.port for claim in claims], np.uint16),
            "service": [claim.service for claim in claims],
            "kind": [claim.kind for claim in claims],
            "valid_from": pa.array([claim.valid_from_ms for claim in claims]).cast(instants),
            "valid_to": pa.array([claim.valid_to_ms for claim in claims]).cast(instants),
            "heartbeat": np.array([claim.heartbeat for claim in claims], np.uint8),
            "rank": np.array([claim.rank for claim in claims], np.uint8),
            "attributes": pa.array([[] for _ in claims], STRINGS),
        }
    )


def _addresses(records: Records) -> Text:
    address = fields.text(records, "address")
    wrong: dict[str, str] = {}
    for value in address.values:
        try:
            parse_address_range(value)
        except InvalidValue as error:
            wrong[value] = str(error)
    records.refuse(address.codes < 0, lambda _: "address is missing; use an IP address, CIDR network or host name")
    records.refuse(address.is_in(wrong), lambda row: wrong[address[row]])
    return address


def _range(
    records: Records, parse_time: ParseTime, now_ms: int, heartbeat_ms: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return begin, end, and where the end is assumed."""
    begin = fields.time_ms(records, "from", parse_time)
    end = fields.time_ms(records, "to", parse_time)
    begin = np.where(begin == NO_TIME, now_ms, begin)
    heartbeat = end == NO_TIME
    end = np.where(heartbeat, np.minimum(begin + heartbeat_ms, LATEST_MS), end)
    records.refuse(end <= begin, lambda _: "`to` is not later than `from` (without `from` the record begins now)")
    return begin, end, heartbeat
