"""NDJSON: one JSON object a line, decoded into columns, in chunks, so that memory stays near the body's size.

Invariant: every line that isn't blank becomes one row or one refusal with its line number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from chronotope.ingest.requests.outcome import MAX_SHOWN, Records
from chronotope.schema.errors import ChronotopeError, InvalidValue, TooLarge
from chronotope.schema.times import shortened

MAX_RECORDS = 1_000_000
CHUNK = 20_000

NDJSON_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})

# A time, as parsed by the caller's clock: text or number → Unix milliseconds.
ParseTime = Callable[[str, str], int]


def read_ndjson(body: bytes, record: type[msgspec.Struct], schema: pa.Schema, parse_time: ParseTime) -> Records:
    """Decode a body into columns.

    Args:
        record: the fields of a line and their types; unknown ones are counted.
        schema: the columns; those that are timestamps get text or numbers through `parse_time`.
        parse_time: (text, field's name) → Unix milliseconds, raises a ChronotopeError.

    Raises:
        TooLarge: more than MAX_RECORDS lines.
    """
    decoder = _Decoder(record, schema, parse_time)
    chunks, lines = [], []
    for count, (number, line) in enumerate(_lines(body), 1):
        if count > MAX_RECORDS:
            raise TooLarge(f"more than {MAX_RECORDS} records in one request: send smaller batches")
        decoder.take(number, line)
        if len(decoder.numbers) == CHUNK:
            lines.append(np.array(decoder.numbers, np.int64))
            chunks.append(decoder.flush())
    lines.append(np.array(decoder.numbers, np.int64))
    chunks.append(decoder.flush())
    decoder.records.fill(pa.concat_tables(chunks), np.concatenate(lines))
    return decoder.records


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (line number, line) of lines that are not blank, without a copy of the whole."""
    start, number = 3 if body.startswith(b"\xef\xbb\xbf") else 0, 1
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        line = body[start:end].strip()
        if line:
            yield number, line
        start, number = end + 1, number + 1


class _Decoder:
    """Lines to rows of Python values, and those to Arrow columns."""

    def __init__(self, record: type[msgspec.Struct], schema: pa.Schema, parse_time: ParseTime) -> None:
        self.records = Records(pa.table({}), np.empty(0, np.int64))
        self.numbers: list[int] = []
        self._record, self._schema = record, schema
        self._known = frozenset(record.__struct_encode_fields__)
        self._attributes = record.__struct_fields__
        self._times = [field.name for field in schema if pa.types.is_timestamp(field.type)]
        self._parse_time = parse_time
        self._values: list[tuple[Any, ...]] = []

    def take(self, number: int, line: bytes) -> None:
        """Decode a line into a row, or refuse it."""
        try:
            values = msgspec.json.decode(line)
            if not isinstance(values, dict):
                raise InvalidValue(f"{_said(values)} is not a JSON object")
            if not self._known.issuperset(values):
                _count_unknown(self.records.unknown, values.keys() - self._known)
            row = self._convert(values)
        except ChronotopeError as error:
            self.records.refuse_line(number, str(error))
        except (ValueError, RecursionError) as error:  # msgspec's errors and bytes that are not UTF-8
            self.records.refuse_line(number, f"not a line of JSON: {error}")
        else:
            self.numbers.append(number)
            self._values.append(row)

    def _convert(self, values: dict[str, Any]) -> tuple[Any, ...]:
        for name in self._times:
            value = values.get(name)
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                values[name] = self._parse_time(str(value), name)
        try:
            return msgspec.structs.astuple(msgspec.convert(values, self._record))
        except msgspec.ValidationError as error:
            raise InvalidValue(_explained(str(error), values)) from error

    def flush(self) -> pa.Table:
        """Return the rows since the last flush as columns."""
        columns = zip(*self._values, strict=True) if self._values else [() for _ in self._schema]
        arrays = [_array(values, field) for values, field in zip(columns, self._schema, strict=True)]
        self._values, self.numbers = [], []
        return pa.Table.from_arrays(arrays, schema=self._schema)


def _array(values: Any, field: pa.Field) -> pa.Array:
    if pa.types.is_map(field.type):
        as_text = pa.types.is_string(field.type.item_type)
        values = [None if items is None else list(_items(items, as_text=as_text)) for items in values]
    return pa.array(values, field.type)


def _items(items: Any, *, as_text: bool) -> Iterator[tuple[Any, Any]]:
    """Yield the pairs of an object or a list of pairs; null is left out, and what shall be text becomes it."""
    if not isinstance(items, dict):
        yield from items
        return
    for key, value in items.items():
        if value is not None:
            yield key, value if isinstance(value, str) or not as_text else msgspec.json.encode(value).decode()


def _explained(message: str, values: dict[str, Any]) -> str:
    """Turn "Expected `int`, got `str` - at `$.calls`" into "calls 'x': expected int, got str"."""
    text, _, path = message.replace("`", "").partition(" - at ")
    text = f"{text[:1].lower()}{text[1:]}".replace(" | ", " or ")
    path = path.removeprefix("$.")
    name = path.partition("[")[0]
    if not path:
        return text
    return f"{path} {_said(values[name])}: {text}" if name in values else f"{path}: {text}"


def _said(value: object) -> str:
    if isinstance(value, str):
        return shortened(value)
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}…"


def _count_unknown(unknown: Counter[str], names: set[str]) -> None:
    """Count unknown fields, under a bounded number of names."""
    for name in names:
        known = name in unknown or len(unknown) < MAX_SHOWN
        unknown[name[:100] if known else "…"] += 1
