"""Calls by response code, as columns beside a layer's evidence. Pure.

Invariant: an edge has a code at most once, with a count above zero; corrections may remove a code.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa
from msgspec import UNSET


@dataclass(slots=True)
class CodeColumns:
    """K counts: `count[k]` calls of edge `edge[k]` (or of a step of time) had the code `names[code[k]]`."""

    edge: np.ndarray  # int64[K], rising
    code: np.ndarray  # int64[K], rising for each edge
    count: np.ndarray  # int64[K]
    names: list[str]  # sorted

    def moved(self, place: np.ndarray) -> CodeColumns:
        """Return the counts under new numbers of their edges, int64[E]; -1 drops an edge, equal numbers are added up.

        Args:
            place: by edge.
        """
        edge = place[self.edge]
        kept = edge >= 0
        keys, inverse = np.unique(edge[kept] * max(len(self.names), 1) + self.code[kept], return_inverse=True)
        count = np.zeros(len(keys), np.int64)
        np.add.at(count, inverse, self.count[kept])
        some = count > 0
        edges, codes = np.divmod(keys[some], max(len(self.names), 1))
        return CodeColumns(edges, codes, count[some], self.names)

    def records(self, edges: np.ndarray) -> list[Any]:
        """Return code → calls of some edges, int64[N] rising; UNSET where no code is known."""
        found: list[Any] = [UNSET] * len(edges)
        at = np.searchsorted(edges, self.edge)
        at[at == len(edges)] = 0
        there = edges[at] == self.edge if len(edges) else np.zeros(len(at), np.bool_)
        names = [self.names[code] for code in self.code[there].tolist()]
        for row, name, count in zip(at[there].tolist(), names, self.count[there].tolist(), strict=True):
            if found[row] is UNSET:
                found[row] = {}
            found[row][name] = count
        return found


def codes_of(table: pa.Table) -> CodeColumns:
    """Return the codes in column `codes`, map<text, int64>; `edge` is the row's number."""
    maps = table.column("codes").combine_chunks()
    if isinstance(maps, pa.ChunkedArray) or not len(maps):
        none = np.empty(0, np.int64)
        return CodeColumns(none, none, none, [])
    offsets = maps.offsets.to_numpy().astype(np.int64)
    entries = slice(int(offsets[0]), int(offsets[-1]))
    words = maps.keys[entries].dictionary_encode()
    names = sorted(words.dictionary.to_pylist())
    place = {name: at for at, name in enumerate(names)}
    code = np.array([place[name] for name in words.dictionary.to_pylist()], np.int64)[words.indices.to_numpy()]
    edge = np.repeat(np.arange(len(maps)), np.diff(offsets))
    count = maps.items[entries].to_numpy(zero_copy_only=False)
    return CodeColumns(edge, code, count, names).moved(np.arange(len(maps)))


def moved_codes(codes: CodeColumns | None, place: np.ndarray) -> CodeColumns | None:
    """Return codes under new numbers of their edges; None where there are none."""
    return None if codes is None else codes.moved(place)


def code_records(codes: CodeColumns | None, edges: np.ndarray) -> Any:
    """Return code → calls of some edges, int64[N] rising, or UNSET, N times."""
    return repeat(UNSET, len(edges)) if codes is None else codes.records(edges)


def code_columns(codes: CodeColumns | None, steps: int) -> dict[str, list[int]]:
    """Return code → calls at each step of time, where `edge` is the step's number."""
    if codes is None:
        return {}
    table = np.zeros((len(codes.names), steps), np.int64)
    table[codes.code, codes.edge] = codes.count
    return {name: row.tolist() for name, row in zip(codes.names, table, strict=True) if row.any()}
