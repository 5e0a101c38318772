"""Read peers and protocols from a column of span attributes, once for each distinct combination.

Invariant: only attributes that can describe the peer are read. Rows are joined to their combination by codes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from chronotope.ingest.files.spans.arrow_columns import distinct_values, is_bytes, is_text
from chronotope.ingest.files.spans.peer_reader import PEER_KEYS, PeerReader
from chronotope.ingest.spans.semconv import PRESENCE_KEYS, effective_kind

Codes = npt.NDArray[np.int64]

_LARGEST = 1 << 62
_PRESENCE = frozenset(PRESENCE_KEYS)


class Peers(NamedTuple):
    """For each row: its kind (maybe from the attribute `span.kind`), its hint or -1, its protocol."""

    kind: Codes
    peer: Codes
    protocol: Codes


class _Field(NamedTuple):
    """One attribute as a column: the code of each row's value, -1 where the row lacks it."""

    values: list[object]
    codes: Codes


def is_attributes(kind: pa.DataType) -> bool:
    """Return whether a column's type can hold attributes: a map, a struct, a list of key and value, or JSON text."""
    if pa.types.is_map(kind):
        return is_text(kind.key_type) or is_bytes(kind.key_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        entry = kind.value_type
        return bool(pa.types.is_struct(entry) and entry.num_fields == 2)
    return bool(pa.types.is_struct(kind) or is_text(kind) or is_bytes(kind) or pa.types.is_null(kind))


def read_peers(kind: Codes, attributes: pa.Array | None, reader: PeerReader) -> Peers:
    """Return kinds, peers and protocols of N rows.

    Args:
        kind: each row's kind as OTLP numbers it.
        attributes: a column for which `is_attributes` holds; None when there is none.
        reader: what remembers the answers.
    """
    if attributes is None or pa.types.is_null(attributes.type):
        return Peers(kind, np.full(len(kind), -1, np.int64), np.zeros(len(kind), np.int64))
    kinds, kind_codes = np.unique(kind, return_inverse=True)
    kind_field = _Field(kinds.tolist(), kind_codes.astype(np.int64))
    if is_text(attributes.type) or is_bytes(attributes.type):
        texts, codes = distinct_values(attributes)
        parsed = [_parse(text) for text in texts]
        fields = {"": _Field(list(parsed), codes)}
        return _answer(kind_field, fields, reader, lambda found: found.get("", {}))  # type: ignore[arg-type,return-value]
    fields = _struct_fields(attributes) if pa.types.is_struct(attributes.type) else _map_fields(attributes)
    return _answer(kind_field, fields, reader, lambda found: found)


def _answer(
    kind: _Field,
    fields: dict[str, _Field],
    reader: PeerReader,
    attributes_of: Callable[[dict[str, object]], dict[str, object]],
) -> Peers:
    """Read each distinct combination of kind and fields once, and spread the answers over the rows."""
    combined = _combine([kind, *fields.values()])
    _, firsts, inverse = np.unique(combined, return_index=True, return_inverse=True)
    columns = [(name, field.values, field.codes[firsts].tolist()) for name, field in fields.items()]
    answers = np.empty((len(firsts), 3), np.int64)
    for place, kind_code in enumerate(kind.codes[firsts].tolist()):
        found = {name: values[codes[place]] for name, values, codes in columns if codes[place] >= 0}
        attributes = attributes_of(found)
        known = effective_kind(int(str(kind.values[kind_code])), attributes)
        answers[place] = (known, *reader.codes(known, attributes))
    return Peers(*(answers[inverse, column] for column in range(3)))


def _combine(fields: list[_Field]) -> Codes:
    """Return one number a row, equal where all fields are equal."""
    combined, size = fields[0].codes, len(fields[0].values) + 1
    for field in fields[1:]:
        factor = len(field.values) + 1
        if size * factor > _LARGEST:
            distinct, combined = np.unique(combined, return_inverse=True)
            size = len(distinct) + 1
        combined = combined * factor + (field.codes + 1)
        size *= factor
    return combined


def _parse(text: object) -> dict[str, object]:
    """Return the attributes in a JSON text; none if it is no object."""
    try:
        parsed = orjson.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _struct_fields(column: pa.StructArray) -> dict[str, _Field]:
    names = [field.name for field in column.type if field.name in PEER_KEYS]
    children = dict(zip((field.name for field in column.type), column.flatten(), strict=True))
    return {name: _field(name, children[name]) for name in names}


def _map_fields(column: pa.Array) -> dict[str, _Field]:
    """Turn entries into one column for each key that matters."""
    bounds = column.offsets.to_numpy().astype(np.int64)
    lengths = np.diff(bounds)
    entries = slice(int(bounds[0]), int(bounds[-1]))
    is_map = pa.types.is_map(column.type)
    keys, items = (column.keys, column.items) if is_map else (column.values.field(0), column.values.field(1))
    keys, items = keys[entries], items[entries]
    rows = np.repeat(np.arange(len(column)), lengths)
    live = np.repeat(column.is_valid().to_numpy(zero_copy_only=False), lengths)
    names, name_codes = distinct_values(keys)
    fields = {}
    for code, name in enumerate(names):
        if name in PEER_KEYS:
            places = np.flatnonzero((name_codes == code) & live)
            entry = _field(name, items.take(pa.array(places)))
            codes = np.full(len(column), -1, np.int64)
            codes[rows[places]] = entry.codes
            fields[name] = _Field(entry.values, codes)
    return fields


def _field(name: str, column: pa.Array) -> _Field:
    """Return an attribute's column; of some attributes the presence is all that matters."""
    if name in _PRESENCE:
        present = column.is_valid().to_numpy(zero_copy_only=False)
        return _Field([""], np.where(present, 0, -1).astype(np.int64))
    return _Field(*distinct_values(column))
