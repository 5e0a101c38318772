"""What the NDJSON lines of several records have in common: traffic as counts, and their columns' types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
import pyarrow as pa

from chronotope.ingest.requests.fields import MAX_COUNT

Count = Annotated[int, msgspec.Meta(ge=0, lt=MAX_COUNT)] | float | None
TIME = pa.timestamp("ms", tz="UTC")  # of what is int in a line: text and numbers have become milliseconds before


class Traffic(msgspec.Struct, kw_only=True):
    """What went over an edge, where a record says so; what a value means is checked by columns."""

    connections: Count = None
    failed_connections: Count = None
    bytes_sent: Count = None
    bytes_received: Count = None
    retransmits: Count = None


def line_schema(line: type[msgspec.Struct], types: Mapping[str, pa.DataType]) -> pa.Schema:
    """Return the columns of a line's fields, text unless `types` says otherwise."""
    return pa.schema([(name, types.get(name, pa.string())) for name in line.__struct_fields__])
