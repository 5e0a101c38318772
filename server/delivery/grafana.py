"""Grafana annotations: a region, from when an alert fires to its end, on every dashboard that shows the tags.

Invariant: an alert has one annotation, found again by its own tag, so a repetition after a crash makes no second one.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec

from chronotope.schema.config.delivery import GrafanaEntry
from chronotope.server.delivery.notice import Notice
from chronotope.server.delivery.posting import Undelivered, ask
from chronotope.server.delivery.webhook import secret_of

_PATH = "/api/annotations"


class Grafana:
    """Sends notices to one Grafana."""

    def __init__(self, entry: GrafanaEntry, timeout_s: float) -> None:
        self._entry = entry
        token = secret_of(entry.token.get_secret_value() if entry.token else "", entry.token_file).decode()
        self._headers = {**entry.sent_headers, **({"Authorization": f"Bearer {token}"} if token else {})}
        self._timeout_s = timeout_s

    def send(self, notice: Notice, now_ms: int) -> None:
        """Make an alert's annotation, or set its end.

        Raises:
            Undelivered, Unwanted: Grafana did not take it.
        """
        state = notice.standing.state
        tag = f"chronotope-alert:{notice.standing.alert.fingerprint}-{state.since_ms}"
        found = self._find(tag)
        if found is None:
            self._send("POST", _PATH, self._annotation(notice, tag))
        elif notice.status == "resolved":
            self._send("PATCH", f"{_PATH}/{found}", {"timeEnd": state.resolved_ms})

    def _find(self, tag: str) -> int | None:
        query = urlencode({"tags": tag, "type": "annotation", "limit": 1})
        reply = ask("GET", f"{self._entry.url}{_PATH}?{query}", b"", self._headers, self._timeout_s)
        try:
            found = msgspec.json.decode(reply.body)
            return int(found[0]["id"]) if found else None
        except (msgspec.DecodeError, LookupError, TypeError, ValueError) as error:
            raise Undelivered(f"GET {self._entry.url}{_PATH}: not a list of annotations") from error

    def _annotation(self, notice: Notice, tag: str) -> dict[str, Any]:
        alert, state = notice.standing.alert, notice.standing.state
        tags = [*self._entry.tags, f"rule:{alert.rule}", f"severity:{alert.labels.get('severity', '')}", tag]
        record: dict[str, Any] = {"time": state.fired_ms, "tags": tags, "text": _text(notice)}
        if notice.status == "resolved":
            record["timeEnd"] = state.resolved_ms
        return record | ({"dashboardUID": self._entry.dashboard} if self._entry.dashboard else {})

    def _send(self, method: str, path: str, record: dict[str, Any]) -> None:
        ask(method, f"{self._entry.url}{path}", msgspec.json.encode(record), self._headers, self._timeout_s)


def _text(notice: Notice) -> str:
    """Grafana shows it as HTML: names from outside are text."""
    alert = notice.standing.alert
    text = f"{alert.rule}: {alert.annotations.get('summary', '')}"
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
