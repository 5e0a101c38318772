"""Spans in tables: Parquet, Arrow IPC (file or stream), or JSON objects, one a line.

Invariant: only the needed columns are read, some ten thousand rows at a time, whatever the size of the row groups. A
file of the wrong shape is refused before its first row; the error names the column and what is accepted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from chronotope.ingest.columns.codes import Interner
from chronotope.ingest.files.opening import InputFile
from chronotope.ingest.files.spans.arrow_columns import Mask, is_bytes, is_text, read_codes, read_ids, read_times
from chronotope.ingest.files.spans.peer_reader import PeerReader
from chronotope.ingest.files.spans.rows import is_error_status, kind_code
from chronotope.ingest.files.spans.span_attributes import is_attributes, read_peers
from chronotope.ingest.files.spans.span_lines import import_span_lines
from chronotope.ingest.spans.columns import EARLIEST_NS, ERROR, LATEST_NS, RELEASED, SPAN, SpanBatch, Vocabulary
from chronotope.schema.names import service_id

_BATCH_ROWS = 131_072
_FEW = ("service", "namespace", "kind", "status_code")  # few distinct values: better read as dictionaries
_PARQUET_MAGIC, _FILE_MAGIC, _STREAM_MAGIC = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"


def _is_word(kind: pa.DataType) -> bool:
    return is_text(kind) or is_bytes(kind)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_code(kind: pa.DataType) -> bool:
    return _is_word(kind) or _is_number(kind) or pa.types.is_null(kind)


def _is_time(kind: pa.DataType) -> bool:
    return bool(_is_number(kind) or pa.types.is_timestamp(kind))


_ID = (_is_word, "raw bytes or hex text")
_TIME = (_is_time, "int64 Unix nanoseconds or a timestamp")
_REQUIRED: dict[str, tuple[Callable[[pa.DataType], bool], str]] = {
    "trace_id": _ID,
    "span_id": _ID,
    "parent_span_id": (lambda kind: _is_word(kind) or pa.types.is_null(kind), "raw bytes or hex text"),
    "service": (_is_word, "text"),
    "start_ns": _TIME,
    "end_ns": _TIME,
}
_OPTIONAL: dict[str, tuple[Callable[[pa.DataType], bool], str]] = {
    "namespace": (lambda kind: _is_word(kind) or pa.types.is_null(kind), "text"),
    "kind": (_is_code, "an OTLP number or name"),
    "status_code": (_is_code, "an OTLP number or name"),
    "attributes": (is_attributes, "a map, a struct or JSON text"),
}


def import_spans(source: InputFile, vocabulary: Vocabulary) -> Iterator[SpanBatch]:
    """Yield the spans of columns; memory holds one batch of rows.

    Raises:
        InvalidPayload: damaged, a required column is missing, or one has a type that cannot be it.
    """
    head = source.peek(8)
    if head.startswith(_PARQUET_MAGIC):
        tables = _read_parquet(source)
    elif head.startswith(_FILE_MAGIC):
        tables = _read_arrow_file(source)
    elif head.startswith(_STREAM_MAGIC):
        tables = _read_arrow_stream(source)
    else:
        return import_span_lines(source, vocabulary)
    return _convert(source, tables, vocabulary)


def _convert(source: InputFile, tables: Iterator[pa.RecordBatch], vocabulary: Vocabulary) -> Iterator[SpanBatch]:
    """Yield each table's spans; any fault of the file is `InvalidPayload`."""
    reader = PeerReader(vocabulary)
    while True:
        try:
            table = next(tables, None)
            batch = None if table is None else batch_of_columns(table, vocabulary, reader)
        except (pa.ArrowException, OSError, ValueError, MemoryError) as cause:
            raise source.invalid(f"damaged, or of a kind that cannot be read ({cause})") from cause
        if batch is None:
            return
        yield batch


def batch_of_columns(table: pa.RecordBatch, vocabulary: Vocabulary, reader: PeerReader) -> SpanBatch:
    """Return the spans of N rows whose column types were checked.

    Rows with a bad id, no service or an impossible time are left out and counted, each under the first of these.
    """
    columns = dict(zip(table.schema.names, table.columns, strict=True))
    trace, span = read_ids(columns["trace_id"], 16), read_ids(columns["span_id"], 8)
    rows = np.zeros(len(table), SPAN)
    rows["trace_hi"], rows["trace_lo"], rows["span"] = trace.hi, trace.lo, span.lo
    bad_id = trace.bad | span.bad | ((trace.hi | trace.lo) == 0) | (span.lo == 0)
    if not pa.types.is_null(columns["parent_span_id"].type):
        parent = read_ids(columns["parent_span_id"], 8)
        rows["parent"] = parent.lo
        bad_id |= parent.bad
    rows["start_ns"] = start_ns = read_times(columns["start_ns"])
    rows["end_ns"] = np.clip(read_times(columns["end_ns"]), start_ns, np.maximum(start_ns, LATEST_NS))
    rows["service"] = _services(columns, vocabulary)
    rows["weight"] = 1
    rows["flags"] = RELEASED | _codes(columns, "status_code", lambda value: ERROR * is_error_status(value))
    kind = _codes(columns, "kind", kind_code)
    rows["kind"], rows["peer"], rows["protocol"] = read_peers(kind, columns.get("attributes"), reader)
    return _usable(rows, bad_id)


def _usable(rows: np.ndarray, bad_id: Mask) -> SpanBatch:
    """Leave out what cannot be used."""
    no_service = ~bad_id & (rows["service"] < 0)
    in_range = (rows["start_ns"] >= EARLIEST_NS) & (rows["start_ns"] <= LATEST_NS)
    bad_time = ~bad_id & ~no_service & ~in_range
    faults = {"bad_id": bad_id, "no_service": no_service, "time_out_of_range": bad_time}
    skipped = Counter({reason: count for reason, rows_ in faults.items() if (count := int(rows_.sum()))})
    kept = rows[~(bad_id | no_service | bad_time)] if skipped else rows
    return SpanBatch(kept, skipped, read=len(rows))


def _services(columns: dict[str, pa.Array], vocabulary: Vocabulary) -> np.ndarray:
    """Return node codes, asked once for each distinct pair of namespace and name."""
    words: Interner[str] = Interner([""])
    name = _codes(columns, "service", lambda value: words.code(str(value)))
    space = _codes(columns, "namespace", lambda value: words.code(str(value)))
    pairs, inverse = np.unique(name * len(words) + space, return_inverse=True)
    named = (divmod(pair, len(words)) for pair in pairs.tolist())
    codes = [vocabulary.service(service_id(words[n], words[s])) for n, s in named]
    return np.array(codes, np.int32)[inverse]


def _codes(columns: dict[str, pa.Array], name: str, code: Callable[[Any], int], missing: int = 0) -> np.ndarray:
    """Return the codes of an optional column, `missing` throughout when the table lacks it."""
    column = columns.get(name)
    if column is None or pa.types.is_null(column.type):
        return np.full(len(columns["span_id"]), missing, np.int64)
    return read_codes(column, code, missing)


def _checked(source: InputFile, schema: pa.Schema) -> list[str]:
    """Return the names of the columns to read, after a look at their types."""
    for name, (accepts, wanted) in (_REQUIRED | _OPTIONAL).items():
        places = schema.get_all_field_indices(name)
        if not places and name in _REQUIRED:
            has = ", ".join(schema.names[:30]) or "none"
            raise source.invalid(f"column {name!r} is missing ({wanted} is accepted); the columns are: {has}")
        if len(places) > 1:
            raise source.invalid(f"column {name!r} is there {len(places)} times")
        if places and not accepts(schema.field(places[0]).type):
            raise source.invalid(f"column {name!r} is {schema.field(places[0]).type}; accepted is {wanted}")
    return [name for name in (*_REQUIRED, *_OPTIONAL) if name in schema.names]


def _read_parquet(source: InputFile) -> Iterator[pa.RecordBatch]:
    """Yield rows of Parquet; column chunks are read through a buffer, not whole."""
    if source.path is None:
        raise source.invalid("Parquet needs a file that can be seeked: decompress it, name its path")
    metadata = pq.read_metadata(source.path)
    names = _checked(source, metadata.schema.to_arrow_schema())
    words = [name for name in names if name in _FEW and is_text(metadata.schema.to_arrow_schema().field(name).type)]
    with pq.ParquetFile(
        source.path, metadata=metadata, read_dictionary=words, buffer_size=1 << 20, pre_buffer=False
    ) as file:
        size, total, done = source.path.stat().st_size, max(1, metadata.num_rows), 0
        for batch in file.iter_batches(_BATCH_ROWS, columns=names, use_threads=True):
            yield batch
            done += len(batch)
            source.on_progress(size * done // total, size)


def _read_arrow_file(source: InputFile) -> Iterator[pa.RecordBatch]:
    """Yield rows of an Arrow IPC file, mapped into memory."""
    if source.path is None:
        raise source.invalid("an Arrow file needs a file that can be seeked: decompress it, or use a stream")
    with pa.memory_map(str(source.path)) as mapped:
        file = pa.ipc.open_file(mapped)
        names = _checked(source, file.schema)
        size, count = source.path.stat().st_size, file.num_record_batches
        for number in range(count):
            yield from _slices(file.get_batch(number), names)
            source.on_progress(size * (number + 1) // count, size)


def _read_arrow_stream(source: InputFile) -> Iterator[pa.RecordBatch]:
    stream = pa.ipc.open_stream(pa.PythonFile(_Readable(source), mode="r"))
    names = _checked(source, stream.schema)
    for batch in stream:
        yield from _slices(batch, names)


def _slices(batch: pa.RecordBatch, names: list[str]) -> Iterator[pa.RecordBatch]:
    batch.validate()
    batch = batch.select(names)
    for start in range(0, len(batch), _BATCH_ROWS):
        yield batch.slice(start, _BATCH_ROWS)


class _Readable:
    """An input as the file object that Arrow wants."""

    def __init__(self, source: InputFile) -> None:
        self._source = source
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        return self._source.read_exactly(size) if size >= 0 else b"".join(self._source.blocks())

    def close(self) -> None:
        self.closed = True
