"""The records of one request: which were taken, which were refused, and why.

Invariant: each record is accepted or refused, once. A refusal names the record's line, its field, the value and what
would be accepted. Unknown fields are ignored and counted.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import orjson
import pyarrow as pa
from flask import Request, Response

from chronotope.schema.errors import InvalidValue

MAX_SHOWN = 100  # errors, and names of unknown fields, that one answer tells
MAX_KEY = 256


@dataclass(slots=True)
class Records:
    """Records as columns, and what has become of them. `lines` is int64[N]: line in the body, or row from 1 on."""

    table: pa.Table
    lines: np.ndarray
    alive: np.ndarray = field(init=False)  # bool[N]: not refused so far
    refused: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.alive = np.ones(len(self.lines), np.bool_)

    def fill(self, table: pa.Table, lines: np.ndarray) -> None:
        """Set the rows, when they are known later than the first refused lines."""
        self.table, self.lines = table, lines
        self.alive = np.ones(len(lines), np.bool_)

    def refuse_line(self, line: int, detail: str) -> None:
        """Refuse a record that never became a row."""
        self.refused += 1
        self.errors.append((line, detail))
        if len(self.errors) > 2 * MAX_SHOWN:
            self._forget_late_errors()

    def refuse(self, bad: np.ndarray, detail: Callable[[int], str]) -> None:
        """Refuse rows, bool[N], that aren't yet; a row's detail is only made when it will be shown."""
        if not bad.any():
            return
        rows = np.flatnonzero(bad & self.alive)
        self.alive &= ~bad
        self.refused += len(rows)
        self.errors += [(int(self.lines[row]), detail(row)) for row in rows[:MAX_SHOWN].tolist()]
        self._forget_late_errors()

    def _forget_late_errors(self) -> None:
        self.errors.sort(key=lambda error: error[0])
        del self.errors[MAX_SHOWN:]

    def answer(self, accepted: int) -> Response:
        """Return the answer: 200, or 422 when nothing was accepted."""
        self._forget_late_errors()
        body: dict[str, object] = {
            "accepted": accepted,
            "rejected": self.refused,
            "errors": [{"line": line, "detail": detail} for line, detail in self.errors],
        }
        if self.unknown:
            body["unknown_fields"] = dict(self.unknown.most_common(MAX_SHOWN))
        status = 200 if accepted else 422
        return Response(orjson.dumps(body), status=status, content_type="application/json")


def insert_token(request: Request, body: bytes) -> str:
    """Return the token by which the store counts a repeated request once.

    The body is part of it: a key that is used again for other records must not lose them. Without an
    `Idempotency-Key` each request counts, so its token is like no other: with none at all the store would take two
    collectors' equal records for one insert repeated.

    Raises:
        InvalidValue: a key that is too long.
    """
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > MAX_KEY:
        raise InvalidValue(f"Idempotency-Key has {len(key)} characters; at most {MAX_KEY} are accepted")
    if not key:
        return uuid.uuid4().hex
    digest = hashlib.sha256(request.path.encode() + b"\0" + key.encode() + b"\0")
    digest.update(body)
    return digest.hexdigest()
