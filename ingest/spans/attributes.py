"""Attributes of services (team, version, …) from resources, written beside the edges.

Invariant: only attributes of a service are kept, not those of one instance of it (a process, a pod, a host).
"""

from __future__ import annotations

import pyarrow as pa

from chronotope.ingest.spans.columns import SpanBatch
from chronotope.schema.names import clean_name
from chronotope.schema.storage.store import Store

_OF_INSTANCES = (
    "service.name",
    "service.namespace",
    "service.instance.",
    "process.",
    "container.",
    "host.",
    "os.",
    "k8s.pod.",
    "k8s.node.",
    "k8s.container.",
    "k8s.replicaset.",
    "telemetry.distro.",
    "telemetry.sdk.version",
    "telemetry.auto.version",
)
_MOST = 32


def write_attributes(store: Store, batch: SpanBatch) -> None:
    """Write the attributes a batch brought, as seen from its first span to its last."""
    said = [
        (service, clean_name(key), clean_name(value))
        for service, attributes in batch.attributes.items()
        for key, value in sorted(attributes.items())[:_MOST]
        if value and not key.startswith(_OF_INSTANCES)
    ]
    if not said or not len(batch.rows):
        return
    seen_ms = [int(batch.rows["start_ns"].min()) // 10**6, int(batch.rows["start_ns"].max()) // 10**6]
    services, keys, values = zip(*said, strict=True)
    times = [pa.array([at] * len(said), pa.timestamp("ms", tz="UTC")) for at in seen_ms]
    columns = {"service": services, "key": keys, "value": values, "first_seen": times[0], "last_seen": times[1]}
    store.insert("service_attributes", pa.table(columns))
