"""`POST /api/v1/events`: deployments and other changes, shown beside changes of the topology.

Invariant: a change that the answer counts as accepted is durable. Its id is made of its content, so a change that is
reported twice is one change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
import numpy as np
import pyarrow as pa
from flask import Blueprint, Request, Response, request

from chronotope.ingest.requests import fields
from chronotope.ingest.requests.body import read_body
from chronotope.ingest.requests.fields import NO_TIME, STRINGS
from chronotope.ingest.requests.ndjson import ParseTime, read_ndjson
from chronotope.ingest.requests.outcome import Records, insert_token
from chronotope.ingest.requests.records import Clock, check_content_type, read_records, time_parser
from chronotope.schema.errors import InvalidPayload
from chronotope.schema.storage.store import Store

JSON_TYPE = "application/json"
# Types of events that the server finds itself.
RESERVED = ("new_dependency", "vanished_dependency", "returned_dependency", "rule_violation")


_TEXTS = ("type", "service", "title", "url")


class ChangeLine(msgspec.Struct):
    """The fields of an NDJSON line and their types; what a value means is checked by columns."""

    type: str
    service: str
    time: int | None = None
    title: str | None = None
    attributes: dict[str, str | int | float | bool | None] | None = None
    url: str | None = None


_TYPES = {"time": pa.timestamp("ms", tz="UTC"), "attributes": STRINGS}
LINE_SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in ChangeLine.__struct_encode_fields__])


def changes_blueprint(
    store: Store, *, clock: Clock, max_body_bytes: int, aliases: Mapping[str, str] | None = None
) -> Blueprint:
    """Return the route.

    Args:
        clock: returns Unix milliseconds: the time of a change that says none.
        max_body_bytes: the largest body, packed and unpacked.
        aliases: service id → the id it is stored as.
    """
    blueprint = Blueprint("changes", __name__)

    @blueprint.post("/api/v1/events")
    def post_events() -> Response:
        if request.mimetype != JSON_TYPE:
            check_content_type(request)
        body, now_ms = read_body(request, max_body_bytes), clock()
        token = insert_token(request, body)
        records = _read(request, body, now_ms, max_body_bytes)
        table = change_table(records, time_parser(now_ms), now_ms, aliases or {})
        if table.num_rows:
            store.insert("events", table, token)
        return records.answer(table.num_rows)

    return blueprint


def change_table(records: Records, parse_time: ParseTime, now_ms: int, aliases: Mapping[str, str]) -> pa.Table:
    """Check every record, and return those accepted as columns of the table `events`.

    Raises:
        InvalidPayload: an Arrow column of a type that can't hold its field.
    """
    kind, service = fields.text(records, "type"), fields.names(fields.text(records, "service"), aliases)
    title, url = fields.text(records, "title").or_else(""), fields.text(records, "url").or_else("")
    records.refuse(kind.is_in([""]), lambda _: "type is missing; use deployment, configuration or a word of your own")
    records.refuse(
        kind.is_in(RESERVED), lambda row: f"type '{kind[row]}' is found by the server itself; use another word"
    )
    records.refuse(service.is_in([""]), lambda _: "service is missing; use the id of the service that was changed")
    at = fields.time_ms(records, "time", parse_time)
    at = np.where(at == NO_TIME, now_ms, at)
    attributes = fields.strings(records, "attributes")
    kept = np.flatnonzero(records.alive)
    said = attributes.take(pa.array(kept)).to_pylist()
    texts = [[own[row] for row in kept.tolist()] for own in (kind, service, title, url)]
    ids = [_id(*row) for row in zip(at[kept].tolist(), *texts, said, strict=True)]
    stamps = pa.array(at[kept]).cast(pa.timestamp("ms", tz="UTC"))
    table = {name: pa.array(own, pa.string()) for name, own in zip(_TEXTS, texts, strict=True)}
    table |= {"id": pa.array(ids, pa.string()), "time": stamps, "evident_at": stamps}
    table["detected_at"] = pa.array(np.full(len(kept), now_ms)).cast(pa.timestamp("ms", tz="UTC"))
    table["attributes"] = pa.array([sorted(dict(own or []).items()) for own in said], STRINGS)
    return pa.table(table)


def _read(given: Request, body: bytes, now_ms: int, limit_bytes: int) -> Records:
    if given.mimetype == JSON_TYPE:
        return read_ndjson(_lines(body), ChangeLine, LINE_SCHEMA, time_parser(now_ms))
    return read_records(given, body, ChangeLine, LINE_SCHEMA, now_ms, limit_bytes)


def _lines(body: bytes) -> bytes:
    """Return one change, or an array of them, one a line; a refusal's line is then its place in the array."""
    try:
        said = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise InvalidPayload(f"the body is not JSON: {error}") from error
    return b"\n".join(map(msgspec.json.encode, said if isinstance(said, list) else [said]))


def _id(time_ms: int, kind: str, service: str, title: str, url: str, attributes: object) -> str:
    said = msgspec.json.encode([kind, service, time_ms, title, url, sorted(attributes or [])])  # type: ignore[call-overload]
    return hashlib.sha256(said).hexdigest()[:16]
