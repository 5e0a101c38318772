"""The words of the `spans` format: kinds and status codes, as numbers or in any of their spellings.

Invariant: what is no known word is unspecified, never an error.
"""

from __future__ import annotations

from chronotope.ingest.spans.columns import CONSUMER, UNSPECIFIED
from chronotope.ingest.spans.semconv import kind_of_tag

_STATUS_ERROR = 2


def kind_code(value: object) -> int:
    """Return the kind that OTLP's number, its name or a `span.kind` word means; UNSPECIFIED for anything else."""
    if isinstance(value, str) and not (value.isascii() and value.isdecimal() and len(value) == 1):
        return kind_of_tag(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value != value:
        return UNSPECIFIED
    number = int(value) if abs(float(value)) < 10 else UNSPECIFIED
    return number if 0 <= number <= CONSUMER else UNSPECIFIED


def is_error_status(value: object) -> bool:
    """Tell whether a status is OTLP's error: 2, `ERROR` or `STATUS_CODE_ERROR`."""
    if isinstance(value, str):
        return value.strip().upper().removeprefix("STATUS_CODE_") in ("ERROR", "2")
    return not isinstance(value, bool) and value == _STATUS_ERROR
