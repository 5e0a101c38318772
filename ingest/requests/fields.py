"""Fields of records as plain arrays, from any Arrow type. An absent field has its default.

Invariant: each function reads one field of all records at once. A type that cannot hold the field refuses the whole
stream by name. A value that cannot refuses its record.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chronotope.ingest.requests.ndjson import ParseTime
from chronotope.ingest.requests.outcome import Records
from chronotope.schema.errors import ChronotopeError, InvalidPayload
from chronotope.schema.names import clean_name
from chronotope.schema.times import EARLIEST_MS, LATEST_MS, shortened

MAX_COUNT = 2**53  # what JSON numbers carry exactly
MAX_NUMBER = 1e15  # of any unit: nothing measured is more, and no product overflows
NO_TIME = -(2**63)
_MILLISECONDS_FROM = 1e11  # as seconds this would be the year 5138

STRINGS = pa.map_(pa.string(), pa.string())
Count = Annotated[int, msgspec.Meta(ge=0, lt=MAX_COUNT)] | float | None
TIME = pa.timestamp("ms", tz="UTC")  # for a field that is int in a line: its text or number is milliseconds by then


class Traffic(msgspec.Struct, kw_only=True):
    """The traffic of an edge in a record. The values are checked by columns."""

    connections: Count = None
    failed_connections: Count = None
    bytes_sent: Count = None
    bytes_received: Count = None
    retransmits: Count = None


def line_schema(line: type[msgspec.Struct], types: Mapping[str, pa.DataType]) -> pa.Schema:
    """Return the columns of a line's fields, text unless `types` says otherwise."""
    return pa.schema([(name, types.get(name, pa.string())) for name in line.__struct_fields__])


@dataclass(slots=True)
class Text:
    """A text field: `values[codes[row]]`; code -1 is absent."""

    codes: np.ndarray
    values: list[str]

    def __getitem__(self, row: int) -> str:
        code = int(self.codes[row])
        return self.values[code] if code >= 0 else ""

    def mapped(self, change: Callable[[str], str]) -> Text:
        """Return the field with each distinct value changed; absent stays absent."""
        return self.renamed(list(map(change, self.values)))

    def renamed(self, values: list[str]) -> Text:
        """Return the field with other distinct values, as many as before, of which some may now be the same."""
        codes = {value: code for code, value in enumerate(dict.fromkeys(values))}
        if len(codes) == len(values):
            return Text(self.codes, values)
        new = np.array([*map(codes.__getitem__, values), -1], np.int64)  # the last is for what is absent
        return Text(new[self.codes], list(codes))

    def or_else(self, default: str) -> Text:
        """Return the field with a default where it is absent or empty."""
        values = [*(value or default for value in self.values), default]
        codes = np.where(self.codes >= 0, self.codes, len(values) - 1)
        return Text(codes, values).mapped(str)

    def places(self, accepted: Sequence[str]) -> np.ndarray:
        """Return uint8[N]: the place of each value among some, 0 for any other."""
        known = np.array([*(accepted.index(value) if value in accepted else 0 for value in self.values), 0], np.uint8)
        found: np.ndarray = known[self.codes]
        return found

    def is_in(self, accepted: Collection[str]) -> np.ndarray:
        """Return bool[N]: whether the value is one of these; absent counts as the empty text."""
        known = np.array([*(value in accepted for value in self.values), "" in accepted], np.bool_)
        found: np.ndarray = known[self.codes]
        return found

    def arrow(self, rows: np.ndarray) -> pa.DictionaryArray:
        """Return the values of some rows, none of them absent, dictionary-encoded."""
        return pa.DictionaryArray.from_arrays(
            pa.array(self.codes[rows].astype(np.int32)), pa.array(self.values, pa.string())
        )


def text(records: Records, name: str) -> Text:
    """Return a text field, cleaned as names are."""
    return raw_text(records, name).mapped(clean_name)


def raw_text(records: Records, name: str) -> Text:
    """Return a text field as it is."""
    column = column_of(records, name)
    if column is None:
        return Text(np.full(len(records.lines), -1, np.int64), [])
    return encoded(name, column)


def accept(records: Records, name: str, given: Text, accepted: Collection[str]) -> None:
    """Refuse the records whose text is none of some; absent counts as the empty text."""
    shown = ", ".join(filter(None, accepted))
    records.refuse(
        ~given.is_in(accepted),
        lambda row: (
            f"{name} {shortened(given[row])} is not known; accepted: {shown}"
            if given[row]
            else f"{name} is missing; accepted: {shown}"
        ),
    )


def encoded(name: str, column: pa.Array) -> Text:
    """Return an Arrow array of text as it is, with absent as -1."""
    if not pa.types.is_dictionary(column.type):
        _demand(_is_text(column.type), name, column, "text")
        column = column.dictionary_encode()
    _demand(_is_text(column.type.value_type), name, column, "text")
    values = column.dictionary.to_pylist()
    codes = pc.fill_null(column.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    if None in values:
        absent = np.array([value is None for value in values], np.bool_)
        codes = np.where((codes >= 0) & absent[codes], -1, codes)
    return Text(codes, [value or "" for value in values])


def number(records: Records, name: str) -> np.ndarray:
    """Return a field as float64[N], NaN where it is absent. Refuses what is negative, infinite or NaN."""
    column = column_of(records, name)
    if column is None:
        return np.full(len(records.lines), np.nan)
    values = floats(name, column)
    given = column.is_valid().to_numpy(zero_copy_only=False)
    bad = given & ~((values >= 0) & (values < MAX_NUMBER))
    records.refuse(bad, lambda row: f"{name} {values[row]:g} is not accepted; use a number from 0 to {MAX_NUMBER:g}")
    return np.where(bad, np.nan, values)


def count(records: Records, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a count as int64[N], 0 where it is absent, and bool[N] where it is given."""
    column = column_of(records, name)
    if column is None:
        return np.zeros(len(records.lines), np.int64), np.zeros(len(records.lines), np.bool_)
    if _all_counts(column):
        return column.cast(pa.int64()).to_numpy(), np.ones(len(column), np.bool_)
    values = floats(name, column)
    given = column.is_valid().to_numpy(zero_copy_only=False)
    bad = given & ~((values >= 0) & (values < MAX_COUNT) & (values == np.floor(values)))
    records.refuse(bad, lambda row: f"{name} {values[row]:.15g} is not a count; use a whole number from 0 to 2^53")
    return np.where(given & ~bad, np.nan_to_num(values), 0).astype(np.int64), given & ~bad


def _all_counts(column: pa.Array) -> bool:
    """Whether a column is whole numbers, all of them given and fit to be counts."""
    if column.null_count or not len(column) or not pa.types.is_integer(column.type):
        return False
    ends = pc.min_max(column)
    return bool(ends["min"].as_py() >= 0 and ends["max"].as_py() < MAX_COUNT)


def floats(name: str, column: pa.Array) -> np.ndarray:
    """Return numbers of any type as float64, NaN where null."""
    kind = column.type
    _demand(pa.types.is_integer(kind) or pa.types.is_floating(kind), name, column, "numbers")
    values: np.ndarray = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values


def time_ms(records: Records, name: str, parse_time: ParseTime) -> np.ndarray:
    """Return a time as int64[N] Unix milliseconds, NO_TIME where it is absent or refused."""
    column = column_of(records, name)
    if column is None:
        return np.full(len(records.lines), NO_TIME)
    if _is_text(column.type) or pa.types.is_dictionary(column.type):
        return _parsed_times(records, name, encoded(name, column), parse_time)
    given = column.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_timestamp(column.type):
        ms = pc.fill_null(column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64()), 0)
        times = ms.to_numpy(zero_copy_only=False)
    else:
        numbers = np.clip(np.nan_to_num(floats(name, column), nan=-1.0), -1, MAX_NUMBER)
        in_ms = np.where(numbers >= _MILLISECONDS_FROM, numbers, numbers * 1000 + 1e-4)
        times = np.floor(in_ms).astype(np.int64)
    bad = given & ((times < EARLIEST_MS) | (times >= LATEST_MS))
    records.refuse(bad, lambda row: f"{name} {column[row].as_py()} is outside 1970-01-01 to 2105-12-31")
    return np.where(given & ~bad, times, NO_TIME)


def _parsed_times(records: Records, name: str, said: Text, parse_time: ParseTime) -> np.ndarray:
    parsed = np.full(len(said.values) + 1, NO_TIME)
    wrong: dict[int, str] = {}
    for code, value in enumerate(said.values):
        try:
            parsed[code] = parse_time(value, name)
        except ChronotopeError as error:
            wrong[code] = str(error)
    bad = np.isin(said.codes, list(wrong))
    records.refuse(bad, lambda row: wrong[int(said.codes[row])])
    times: np.ndarray = parsed[said.codes]
    return times


def strings(records: Records, name: str) -> pa.Array:
    """Return a field of key–value pairs as map<string, string>[N], cleaned; null where it is absent."""
    column = column_of(records, name)
    if column is None:
        return pa.nulls(len(records.lines), STRINGS)
    if pa.types.is_struct(column.type):
        rows = column.to_pylist()
        pairs = [None if row is None else [(k, str(v)) for k, v in row.items() if v is not None] for row in rows]
        column = pa.array(pairs, STRINGS)
    _demand(pa.types.is_map(column.type), name, column, "a map of text to text")
    keys, items = encoded(name, column.keys), encoded(name, column.items)
    flat = np.arange(len(keys.codes))
    cleaned = pa.MapArray.from_arrays(
        column.offsets,
        keys.mapped(clean_name).or_else("").arrow(flat).cast(pa.string()),
        items.mapped(clean_name).or_else("").arrow(flat).cast(pa.string()),
    )
    return pc.if_else(column.is_valid(), cleaned, pa.scalar(None, STRINGS))


def count_unknown(records: Records, known: Collection[str]) -> None:
    """Count the values of columns that are no field of the record."""
    for name in records.table.column_names:
        if name not in known:
            column = records.table.column(name)
            records.unknown[name[:100]] += len(column) - column.null_count


def names(texts: Text, aliases: Mapping[str, str]) -> Text:
    """Return service ids with aliases applied."""
    return texts.mapped(lambda value: aliases.get(value, value)) if aliases else texts


def column_of(records: Records, name: str) -> pa.Array | None:
    """Return a column in one piece; None when it is absent."""
    if name not in records.table.column_names:
        return None
    column = records.table.column(name)
    if pa.types.is_null(column.type):
        return None
    pieces = column.unify_dictionaries().combine_chunks()
    return pieces if isinstance(pieces, pa.Array) else pieces.chunk(0)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _demand(right: bool, name: str, column: pa.Array, wanted: str) -> None:
    if not right:
        raise InvalidPayload(f"column {name} is {shortened(str(column.type))}; accepted: {wanted}")
