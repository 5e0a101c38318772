"""The table `alerts`: every transition of an alert, and the state that results.

Invariant: one evaluation is one insert: it is stored whole or not at all, and writing it again changes nothing. Of an
alert with one beginning the furthest transition counts, so two servers that agree write one alert.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from chronotope.schema.storage.store import Store
from chronotope.server.rules.alert import Alert
from chronotope.server.rules.conditions import Subject
from chronotope.server.rules.firing import State

_STAMP = pa.timestamp("ms", tz="UTC")
_MAP = pa.map_(pa.string(), pa.string())
_SQL = """
SELECT rule, fingerprint, source, target, protocol, services, labels, annotations,
       toUnixTimestamp64Milli(since) AS since_ms, toUnixTimestamp64Milli(fired_at) AS fired_ms,
       toUnixTimestamp64Milli(resolved_at) AS resolved_ms
FROM alerts FINAL
WHERE (step < 2 OR resolved_at >= fromUnixTimestamp64Milli({after:Int64})) AND (fired_at > 0 OR step < 2)
ORDER BY since, fingerprint
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """An alert and its state."""

    alert: Alert
    state: State


def write_alerts(store: Store, standing: Sequence[Standing]) -> None:
    """Write transitions.

    Raises:
        StoreError: it is not known whether they are in; writing them again is safe.
    """
    alerts, states = [own.alert for own in standing], [own.state for own in standing]
    columns: dict[str, Any] = {
        "rule": [alert.rule for alert in alerts],
        "fingerprint": [alert.fingerprint for alert in alerts],
        "since": _times(state.since_ms for state in states),
        "fired_at": _times(state.fired_ms for state in states),
        "resolved_at": _times(state.resolved_ms for state in states),
        "step": pa.array([2 if state.resolved_ms else int(state.fired_ms > 0) for state in states], pa.uint8()),
        "source": [alert.subject.source for alert in alerts],
        "target": [alert.subject.target for alert in alerts],
        "protocol": [alert.subject.protocol for alert in alerts],
        "services": pa.array([list(alert.subject.services) for alert in alerts], pa.list_(pa.string())),
        "labels": pa.array([list(alert.labels.items()) for alert in alerts], _MAP),
        "annotations": pa.array([list(alert.annotations.items()) for alert in alerts], _MAP),
    }
    store.insert("alerts", pa.table(columns))


def read_alerts(store: Store, resolved_after_ms: int) -> list[Standing]:
    """Return alerts that hold or fire, and those that fired and were resolved since an instant, oldest first."""
    return [_standing(row) for row in store.query(_SQL, {"after": resolved_after_ms}).to_pylist()]


def _times(values: Iterable[int]) -> pa.Array:
    return pa.array(list(values), pa.int64()).cast(_STAMP)


def _standing(row: dict[str, Any]) -> Standing:
    subject = Subject(row["source"], row["target"], row["protocol"], tuple(row["services"]))
    alert = Alert(row["fingerprint"], row["rule"], subject, dict(row["labels"]), dict(row["annotations"]))
    return Standing(alert, State(row["since_ms"], row["fired_ms"], row["resolved_ms"]))
