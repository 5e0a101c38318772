"""The notices that a receiver has yet to get: those of all alerts, less those with an outcome.

Invariant: an alert's transition is stored before anything is sent, and an outcome as soon as it is known. So a crash
loses no notice, and repeats at most the one under way. A new receiver gets notices of what fires then, not of the past.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from chronotope.schema.storage.store import Store
from chronotope.server.delivery.notice import Notice, notices_of
from chronotope.server.rules.table import Standing

_KNOWN = """
SELECT id, toUnixTimestamp64Milli(min(at)) AS at_ms
FROM notifications
WHERE receiver = {receiver:String} AND (id = '' OR id IN {ids:Array(String)})
GROUP BY id
"""


class Outbox:
    """The notices of one receiver."""

    def __init__(self, store: Store, receiver: str) -> None:
        self._store = store
        self._receiver = receiver
        self._known_since_ms = 0

    def due(self, standing: Sequence[Standing], now_ms: int) -> list[Notice]:
        """Return the notices that were neither delivered nor dropped, in order of time.

        Raises:
            StoreError: the store does not say.
        """
        notices = list(notices_of(standing))
        rows = self._store.rows(_KNOWN, {"receiver": self._receiver, "ids": [notice.id for notice in notices]})
        known = {str(id_): int(at_ms) for id_, at_ms in rows}
        if "" not in known:
            self.record_outcome("", "known", now_ms)
            known[""] = now_ms
        notified = {notice.standing.alert.fingerprint for notice in notices if notice.id in known}
        due = [notice for notice in notices if notice.id not in known]
        due = [notice for notice in due if self._concerns(notice, known[""], notified)]
        return sorted(due, key=lambda notice: (notice.at_ms, notice.status != "firing", notice.id))

    def record_outcome(self, notice_id: str, outcome: str, now_ms: int) -> None:
        """Write the outcome of a notice: `delivered` or `dropped`."""
        row = {
            "receiver": pa.array([self._receiver]),
            "id": pa.array([notice_id]),
            "outcome": pa.array([outcome]),
            "at": pa.array([now_ms], pa.int64()).cast(pa.timestamp("ms", tz="UTC")),
        }
        self._store.insert("notifications", pa.table(row))

    def _concerns(self, notice: Notice, since_ms: int, notified: set[str]) -> bool:
        """Not what ended before the receiver was known, unless it was notified of the beginning."""
        ended_ms = notice.standing.state.resolved_ms
        return not ended_ms or ended_ms >= since_ms or notice.standing.alert.fingerprint in notified
