"""Notices, each sent once to a receiver: one alert fires, or was resolved; and the outbox that remembers what was sent.

Invariant: a notice's id is made only from the alert's labels, its beginning and its status. So a receiver recognizes a
repetition, after a crash or from a second server. An alert's transition is stored before anything is sent, and an
outcome as soon as it is known. So a crash loses no notice, and repeats at most the one under way. A new receiver gets
notices of what fires then, not of the past.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from chronotope.schema.storage.store import Store
from chronotope.schema.times import format_time
from chronotope.server.rules.table import Standing


@dataclass(frozen=True, slots=True)
class Notice:
    """`status` is `firing` or `resolved`; `at_ms` is when that was, in the time of the data."""

    id: str
    status: str
    at_ms: int
    standing: Standing

    def record(self, external_url: str) -> dict[str, Any]:
        """Return what a receiver gets, to be written as JSON."""
        alert, state = self.standing.alert, self.standing.state
        edge = alert.subject.source and {
            "source": alert.subject.source, "target": alert.subject.target, "protocol": alert.subject.protocol,
        }  # fmt: skip
        return {
            "id": self.id,
            "status": self.status,
            "fingerprint": alert.fingerprint,
            "rule": alert.rule,
            "edge": edge or None,
            "services": list(alert.subject.services),
            "labels": dict(alert.labels),
            "annotations": dict(alert.annotations),
            "starts_at": format_time(state.fired_ms),
            "ends_at": format_time(state.resolved_ms) if self.status == "resolved" else None,
            "url": external_url or None,
        }


def notices_of(standing: Iterable[Standing]) -> Iterator[Notice]:
    """Return the notices that alerts call for, each alert's in order."""
    for own in standing:
        if own.state.fired_ms:
            yield _notice(own, "firing", own.state.fired_ms)
        if own.state.fired_ms and own.state.resolved_ms:
            yield _notice(own, "resolved", own.state.resolved_ms)


def _notice(own: Standing, status: str, at_ms: int) -> Notice:
    text = f"{own.alert.fingerprint}\0{own.state.since_ms}\0{status}"
    return Notice(hashlib.sha256(text.encode()).hexdigest()[:24], status, at_ms, own)


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
