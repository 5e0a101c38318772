"""Alertmanager's API v2: every alert that fires, again and again, and resolved ones for a while.

Invariant: what is sent depends only on the alerts and the time, so nothing is remembered. After a restart of either
side the next round corrects everything. Alertmanager knows an alert by its labels and notifies once. An alert ends by
itself four rounds after this server stops sending it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from chronotope.schema.times import format_time
from chronotope.server.rules.table import Standing

RESOLVED_FOR_MS = 15 * 60_000  # as long as Prometheus repeats it
PATH = "/api/v2/alerts"
_AT_ONCE = 500
_ROUNDS = 4


def bodies(standing: Sequence[Standing], now_ms: int, resend_s: int, external_url: str) -> Iterable[bytes]:
    """Return the bodies to POST, of at most 500 alerts each.

    Args:
        standing: alerts; those that only hold, or were resolved long ago, are left out.
        now_ms: the clock.
        resend_s: length of a round.
        external_url: where people find this server; empty: nowhere.
    """
    records = [
        _record(own, now_ms, resend_s, external_url)
        for own in standing
        if own.state.fired_ms and not 0 < own.state.resolved_ms < now_ms - RESOLVED_FOR_MS
    ]
    return [msgspec.json.encode(records[at : at + _AT_ONCE]) for at in range(0, len(records), _AT_ONCE)]


def _record(own: Standing, now_ms: int, resend_s: int, external_url: str) -> dict[str, Any]:
    ends_ms = own.state.resolved_ms or now_ms + _ROUNDS * resend_s * 1000
    record = {
        "labels": dict(own.alert.labels),
        "annotations": dict(own.alert.annotations),
        "startsAt": format_time(own.state.fired_ms),
        "endsAt": format_time(max(ends_ms, own.state.fired_ms + 1)),
    }
    return record | ({"generatorURL": external_url} if external_url else {})
