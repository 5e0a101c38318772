"""Settings of reading. The command line reads them once and passes them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import time

from chronotope.schema.config.events import EventsSection
from chronotope.server.evidence.levels import SIZES

KEEP_ALL: Mapping[str, int | None] = dict.fromkeys(SIZES, None)


def now_ms() -> int:
    """Return the clock's Unix milliseconds."""
    return int(time() * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What reading needs to know.

    Attributes:
        retention: level (`10s`, `1m`, `1h`, `1d`) → seconds kept; None keeps everything.
        clock: returns Unix milliseconds; tests pass their own.
        compress_from_bytes: smaller answers go out uncompressed.
        max_buckets: the most buckets a timeline or a series may have.
        change_window_s: how long after a reported change events still follow it.
        events: how events are found, where a back-test needs some that are not in the store.
    """

    retention: Mapping[str, int | None] = field(default_factory=lambda: KEEP_ALL)
    clock: Callable[[], int] = now_ms
    compress_from_bytes: int = 1024
    max_buckets: int = 2000
    change_window_s: int = 900
    events: EventsSection = field(default_factory=EventsSection)
