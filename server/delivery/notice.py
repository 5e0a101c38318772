"""A notice: one alert fires, or was resolved; for receivers that get each notice once.

Invariant: a notice's id is made only from the alert's labels, its beginning and its status. So a receiver recognizes a
repetition, after a crash or from a second server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

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
