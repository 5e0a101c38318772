"""A generic webhook: one signed POST of JSON for each notice.

The signature is HMAC-SHA256, with the shared key, of the timestamp, a dot and the body, as sent:
`X-Chronotope-Timestamp: 1767225600` and `X-Chronotope-Signature: sha256=<hex>`. Whoever verifies it computes the same,
compares in constant time, and refuses timestamps older than five minutes. `X-Chronotope-Delivery` is the notice's id:
one that came before is the same notice again.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path

import msgspec

from chronotope.schema.config.delivery import WebhookEntry
from chronotope.schema.errors import InvalidConfig
from chronotope.server.delivery.notice import Notice
from chronotope.server.delivery.posting import ask


class Webhook:
    """Sends notices to one endpoint."""

    def __init__(self, entry: WebhookEntry, timeout_s: float, external_url: str) -> None:
        self._entry = entry
        self._key = secret_of(entry.secret.get_secret_value() if entry.secret else "", entry.secret_file)
        self._timeout_s = timeout_s
        self._external_url = external_url

    def send(self, notice: Notice, now_ms: int) -> None:
        """Send a notice.

        Raises:
            Undelivered, Unwanted: the endpoint did not take it.
        """
        body = msgspec.json.encode(notice.record(self._external_url))
        headers = {**self._entry.sent_headers, "X-Chronotope-Delivery": notice.id}
        if self._key:
            headers |= signature(self._key, body, now_ms // 1000)
        ask("POST", self._entry.url, body, headers, self._timeout_s)


def signature(key: bytes, body: bytes, at_s: int) -> Mapping[str, str]:
    """Return the headers that sign a body at an instant."""
    digest = hmac.new(key, f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Chronotope-Timestamp": str(at_s), "X-Chronotope-Signature": f"sha256={digest}"}


def secret_of(text: str, path: Path | None) -> bytes:
    """Return a secret from the configuration or from the file it names; empty when there is none.

    Raises:
        InvalidConfig: the file cannot be read, or is empty.
    """
    if path is None:
        return text.encode()
    try:
        found = path.read_bytes().strip()
    except OSError as error:
        raise InvalidConfig(f"{path}: the secret cannot be read: {error.strerror}") from error
    if not found:
        raise InvalidConfig(f"{path}: the secret is empty; write it into the file")
    return found
