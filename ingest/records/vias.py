"""The intermediaries an observation passes, as one text: service ids joined by the separator of the store."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chronotope.ingest.requests.fields import Text, column_of, encoded
from chronotope.ingest.requests.outcome import Records
from chronotope.schema.errors import InvalidPayload
from chronotope.schema.names import clean_name
from chronotope.schema.observations import VIA_SEPARATOR
from chronotope.schema.times import shortened

MAX_HOPS = 16


def via_ids(records: Records, aliases: Mapping[str, str]) -> Text:
    """Read the field `via`, a list of service ids; empty where there is none."""
    column = column_of(records, "via")
    if column is None:
        return Text(np.zeros(len(records.lines), np.int64), [""])
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        raise InvalidPayload(f"column via is {shortened(str(column.type))}; accepted: a list of text")
    hops = np.zeros(len(records.lines), np.int64)
    parents = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
    np.add.at(hops, parents, 1)
    records.refuse(hops > MAX_HOPS, lambda row: f"via has {hops[row]} entries; at most {MAX_HOPS} are accepted")
    said = encoded("via", pc.list_flatten(column))
    ids = [aliases.get(name, name) for name in map(clean_name, said.values)]
    nameless = np.zeros(len(hops), np.bool_)
    nameless[parents[Text(said.codes, ids).is_in([""])]] = True
    records.refuse(nameless, lambda _: "via has an empty entry; use service ids")
    return _joined(hops, parents, said.codes, ids)


def _joined(hops: np.ndarray, parents: np.ndarray, codes: np.ndarray, ids: list[str]) -> Text:
    """Join each record's ids; the few distinct lists that there are become text once."""
    order = np.arange(len(parents)) - np.repeat(np.cumsum(hops) - hops, hops)
    table = np.full((len(hops), min(int(hops.max(initial=0)), MAX_HOPS)), -1, np.int64)
    kept = order < MAX_HOPS
    table[parents[kept], order[kept]] = codes[kept]
    distinct, row = np.unique(table, axis=0, return_inverse=True)
    texts = [VIA_SEPARATOR.join(ids[code] for code in codes if code >= 0) for codes in distinct.tolist()]
    return Text(row.reshape(-1), texts).mapped(str)
