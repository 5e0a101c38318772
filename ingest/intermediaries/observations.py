"""Rows to add to the store for resolved hops, so that its views show them. Pure.

Invariant: the rows written for an epoch add up to what its evidence gives now, whatever was written before. In the view
of hops they add up to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from chronotope.ingest.flows.rows import MEASURES
from chronotope.ingest.intermediaries.evidence import Written
from chronotope.ingest.intermediaries.hops import Hops
from chronotope.schema.observations import (
    BOTH_VIEWS,
    BUCKET_S,
    HOPS_ONLY,
    REPORTER_RESOLUTION,
    RESOLVED_ONLY,
    VIA_SEPARATOR,
    observation_table,
)


def wanted(seen: Hops, resolved: Hops, buckets: slice) -> Written:
    """Return the rows that should be there for some buckets.

    Args:
        seen: hops as they were, L of them.
        resolved: what `resolve` made of them: the same L first, then hops with `via`.
        buckets: which of the hops' buckets.
    """
    found = Written({}, buckets.stop - buckets.start)
    for at, route in enumerate(seen.routes):
        moved = (seen.measures[at] - resolved.measures[at])[:, buckets]
        if moved.any():
            found.of((route.source, route.target, route.protocol, "", BOTH_VIEWS))[:] -= moved
            found.of((route.source, route.target, route.protocol, "", HOPS_ONLY))[:] += moved
    for at in range(len(seen), len(resolved)):
        carried = resolved.measures[at][:, buckets]
        if carried.any():
            route = resolved.routes[at]
            via = VIA_SEPARATOR.join(route.via)
            found.of((route.source, route.target, route.protocol, via, RESOLVED_ONLY))[:] += carried
    return found


def difference(after: Written, before: Written) -> Written:
    """Return the rows to add to get from one to the other."""
    added = Written({key: values.copy() for key, values in after.rows.items()}, after.buckets)
    for key, values in before.rows.items():
        added.of(key)[:] -= values
    added.rows = {key: values for key, values in added.rows.items() if values.any()}
    return added


def observations_of(added: Written, start_s: int, kinds: Mapping[str, str]) -> pa.Table | None:
    """Return rows of the table `observations`, in a fixed order; None when there are none."""
    keys = sorted(added.rows)
    if not keys:
        return None
    values = np.stack([added.rows[key] for key in keys])
    row, bucket = np.nonzero(values.any(axis=1))
    parts = list(zip(*keys, strict=True))
    said = dict(zip(("source", "target", "protocol", "via"), parts[:4], strict=True))
    said |= {f"{end}_kind": tuple(kinds.get(name, "unknown") for name in said[end]) for end in ("source", "target")}
    texts = {name: pa.array(values, pa.string()).take(pa.array(row)) for name, values in said.items()}
    views = np.array(parts[4], np.uint8)[row]
    time_s = start_s + bucket * BUCKET_S
    return observation_table(
        {
            "time": time_s,
            # A hop was seen somewhere in its bucket. These rows must not change its first and last time.
            "first_at": time_s * 1000 + np.where(views == RESOLVED_ONLY, 0, BUCKET_S * 1000 - 1),
            "last_at": time_s * 1000,
            "layer": "network",
            **texts,
            "view": views,
            "reporter": REPORTER_RESOLUTION,
            **{name: values[row, number, bucket] for number, name in enumerate(MEASURES)},
        }
    )
