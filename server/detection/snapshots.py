"""Copies of earlier detectors, from which detection goes on when evidence comes late. Pure.

Invariant: the older, the fewer: the distance between copies grows with their age, so a few reach hours back. The first
is kept.
"""

from __future__ import annotations

from chronotope.server.detection.detector import Detector

_APART = 3  # buckets between the newest two


class Snapshots:
    """Copies of a detector, oldest first."""

    def __init__(self, reach: int) -> None:
        self._reach = reach
        self._kept: list[Detector] = []

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, detector: Detector) -> None:
        """Keep a copy, unless one of nearly the same position is kept."""
        if self._kept and detector.position - self._kept[-1].position < _APART:
            return
        self._kept.append(detector.copy())
        self._thin(detector.position)

    def before(self, bucket: int) -> Detector | None:
        """Return a copy of the newest one that has not passed a bucket, and forget those that have passed it."""
        while self._kept and self._kept[-1].position > bucket:
            self._kept.pop()
        return self._kept[-1].copy() if self._kept else None

    def older_than(self, bucket: int) -> Detector | None:
        """Return the newest one, not a copy, whose position is at most this."""
        return next((own for own in reversed(self._kept) if own.position <= bucket), None)

    def _thin(self, now: int) -> None:
        while len(self._kept) > 1 and now - self._kept[1].position >= self._reach:
            del self._kept[0]
        at = len(self._kept) - 2
        while at > 0:
            apart = self._kept[at + 1].position - self._kept[at - 1].position
            if apart <= now - self._kept[at + 1].position:
                del self._kept[at]
            at -= 1
