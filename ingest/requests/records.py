"""From a request to records: by content type, under a limit."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pyarrow as pa
from flask import Request

from chronotope.ingest.requests.arrow_stream import ARROW_TYPE, read_arrow
from chronotope.ingest.requests.fields import count_unknown
from chronotope.ingest.requests.ndjson import NDJSON_TYPES, ParseTime, read_ndjson
from chronotope.ingest.requests.outcome import Records
from chronotope.schema.errors import UnsupportedMedia
from chronotope.schema.times import parse_time

Clock = Callable[[], int]


def check_content_type(request: Request) -> None:
    """See that the body is one of the two forms, before it is read.

    Raises:
        UnsupportedMedia: any other Content-Type.
    """
    if request.mimetype not in NDJSON_TYPES and request.mimetype != ARROW_TYPE:
        raise UnsupportedMedia(
            f"Content-Type {request.content_type!r} is not accepted; send application/x-ndjson "
            f"(one JSON object a line) or {ARROW_TYPE}"
        )


def read_records(
    request: Request,
    body: bytes,
    record: type[msgspec.Struct],
    schema: pa.Schema,
    now_ms: int,
    limit_bytes: int,
) -> Records:
    """Return the body's records; see `read_ndjson` and `read_arrow`."""
    if request.mimetype != ARROW_TYPE:
        return read_ndjson(body, record, schema, time_parser(now_ms))
    table = read_arrow(body, limit_bytes)
    records = Records(table, np.arange(1, table.num_rows + 1))
    count_unknown(records, schema.names)
    return records


def time_parser(now_ms: int) -> ParseTime:
    """Return a parser of times that remembers what it has parsed; collectors repeat them."""
    known: dict[str, int] = {}

    def parse(text: str, name: str) -> int:
        at = known.get(text)
        if at is None:
            at = parse_time(text, now_ms, name=name)
            if len(known) < 100_000:
                known[text] = at
        return at

    return parse
