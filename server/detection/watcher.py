"""Detect events as evidence arrives: read what is new in the store, and write the events that it shows.

Invariant: the events in the store are those that all its evidence shows, up to the position. Late evidence is read
again from its own bucket on, and an event that it contradicts is withdrawn. An event's id is made from the data, so
several servers on one store, or one that starts again, write it once. Evidence that has expired is no silence: where
the ten-second level is incomplete, minutes and hours are read instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from chronotope.schema.config.events import EventsSection
from chronotope.schema.observations import BUCKET_S
from chronotope.schema.storage.retention import retention_of
from chronotope.schema.storage.store import Store
from chronotope.server.detection.detector import Detector, Evidence, Found
from chronotope.server.detection.evidence import (
    WIDTHS,
    first_buckets,
    read_arrivals,
    read_evidence,
    read_latest,
    read_names,
    read_size,
    whole_from,
)
from chronotope.server.detection.saving import Saved, load, save
from chronotope.server.detection.series import Rules
from chronotope.server.detection.snapshots import Snapshots
from chronotope.server.events.event import Event, EventEdge, event_id
from chronotope.server.events.table import known_ids, read_evident, write_events
from chronotope.server.evidence.joining import read_joined_numbers

_BUCKET_MS = BUCKET_S * 1000
_AHEAD = 6  # buckets that a sender's clock may be ahead
_OVERLAP_MS = 60_000  # an insert becomes visible some time after its instant
_REACH = 2 * 360  # how far back copies of the detector go: each has 660 bytes an edge
_JOIN_EVERY_MS = 10_000
_SAVE_EVERY, _SAVE_AGE = 60, 60  # buckets
_ROWS, _PIECE = 2_000_000, 6  # about what is read at a time; buckets, at the least
_FINE_ROWS = 100_000_000  # a history of more is read coarsely where it is old
_COARSE_FROM = (("1h", 3 * 8640, "1m"), ("1m", 6 * 360, "10s"))  # level, age in buckets, and what is read from there


def rules_of(section: EventsSection) -> Rules:
    """Return the configuration in buckets."""
    return Rules(
        false_a_day=section.false_alarms,
        look_back=section.look_back // BUCKET_S,
        baseline=section.baseline // BUCKET_S,
        short_history=section.rhythm // BUCKET_S,
    )


def find_events(store: Store, section: EventsSection, clock: Callable[[], int]) -> Outcome:
    """Find the events of all evidence in a store, write them, and save how far detection has come."""
    watcher = Watcher(store, section, clock)
    watcher.start()
    outcome = watcher.look(complete=True)
    watcher.save()
    return outcome


def missing_events(store: Store, section: EventsSection, clock: Callable[[], int]) -> Outcome:
    """Return what `find_events` would write and withdraw. Nothing is written."""
    watcher = Watcher(store, section, clock, writes=False)
    watcher.start()
    return watcher.look(complete=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a look at the store found: events written, and events withdrawn."""

    written: tuple[Event, ...] = ()
    withdrawn: tuple[Event, ...] = ()


class Watcher:
    """Detection over one store, for one thread."""

    def __init__(self, store: Store, section: EventsSection, clock: Callable[[], int], *, writes: bool = True) -> None:
        self._store, self._clock, self._writes = store, clock, writes
        self._rules, self._grace = rules_of(section), section.grace // BUCKET_S
        self._snapshots = Snapshots(_REACH)
        self._seen: dict[int, int] = {}  # bucket → when evidence of it last came
        self._arrived_ms = 0
        self._latest = 0
        self._saved_at = 0
        self._joined_at: int | None = None
        self._join = np.zeros(0, np.uint64), np.zeros(0, np.uint64)  # numbers of flows, and of their edges
        self._kept: Mapping[str, int | None] = {}
        self._written_to = 0  # the position up to which events are written
        self.detector: Detector | None = None

    def start(self) -> None:
        """Go on from the saved state, if there is one."""
        self._kept = retention_of(self._store)
        saved = load(self._store, self._rules)
        if saved is None:
            return
        self.detector, self._arrived_ms = saved.detector, saved.arrived_ms
        self._saved_at = self._written_to = self.detector.position
        self._latest = read_latest(self._store, self._clock() // _BUCKET_MS + _AHEAD)
        self._snapshots.keep(self.detector)
        arrivals = read_arrivals(self._store, self._arrived_ms - _OVERLAP_MS)
        every = zip(arrivals.bucket.tolist(), arrivals.arrived_ms.tolist(), strict=True)
        self._seen = {bucket: at for bucket, at in every if at <= self._arrived_ms}

    def look(self, *, complete: bool = False) -> Outcome:
        """Read what has arrived since the last look.

        Args:
            complete: nothing more is to come: silences are judged up to the last evidence, and a history from before
                what is kept in ten seconds is taken too.

        Raises:
            StoreError: nothing is lost; the next look takes it again.
        """
        now = self._clock() // _BUCKET_MS
        oldest = 0 if complete or self.detector is None else self._whole()["10s"]
        changed, arrived = self._changed(oldest, now + _AHEAD)
        if not changed:
            return Outcome()
        self._latest = max(self._latest, changed[-1])
        grace = 0 if complete else self._grace
        end = max(min(self._latest + 1, now) - grace, 0)
        outcome = self._take(changed[0], end, complete)
        self._remember(arrived)
        if self.detector is not None and self.detector.position - self._saved_at >= _SAVE_EVERY:
            self.save()
        return outcome

    def save(self) -> None:
        """Save a state of some time ago, so that late evidence can still be read in its place after a restart."""
        detector = self.detector
        if detector is None or not self._writes:
            return
        old = self._snapshots.older_than(detector.position - _SAVE_AGE) or detector
        save(self._store, Saved(old, self._arrived_ms), self._clock())
        self._saved_at = detector.position

    @property
    def lag_s(self) -> float:
        """How old the evidence is, by the clock, that was read last."""
        return max(self._clock() / 1000 - self.detector.position * BUCKET_S, 0.0) if self.detector else 0.0

    def _whole(self) -> dict[str, int]:
        return whole_from(self._kept, self._clock())

    def _changed(self, oldest: int, horizon: int) -> tuple[list[int], dict[int, int]]:
        """The buckets in [oldest, horizon) with evidence since the last look, rising, and when it arrived."""
        arrivals = read_arrivals(self._store, self._arrived_ms - _OVERLAP_MS)
        every = zip(arrivals.bucket.tolist(), arrivals.arrived_ms.tolist(), strict=True)
        fresh = {bucket: at for bucket, at in every if oldest <= bucket < horizon and self._seen.get(bucket) != at}
        return sorted(fresh), fresh

    def _remember(self, arrived: dict[int, int]) -> None:
        self._seen |= arrived
        self._arrived_ms = max(self._arrived_ms, *arrived.values())
        recent = self._arrived_ms - 2 * _OVERLAP_MS
        self._seen = {bucket: at for bucket, at in self._seen.items() if at >= recent}

    def _joined(self, always: bool) -> int:
        """Read which flows belong to which edges; return the first bucket that was read before this was known."""
        now = self._clock()
        if always or self._joined_at is None or not 0 < now - self._joined_at < _JOIN_EVERY_MS:
            self._joined_at = now
            flows, edges = (part.to_numpy().astype(np.uint64) for part in read_joined_numbers(self._store, ()))
            order = np.argsort(flows)
            self._join = flows[order], edges[order]
        first = self.detector.first_seen(self._join[0]) if self.detector is not None else None
        return self._latest + 1 if first is None else first

    def _read(self, start: int, end: int, level: str = "10s") -> Evidence:
        """Read evidence; each flow counts for the edge that it belongs to."""
        evidence = read_evidence(self._store, start, end, level)
        flows, edges = self._join
        if not len(flows) or not len(evidence.edge):
            return evidence
        at = np.minimum(np.searchsorted(flows, evidence.edge), len(flows) - 1)
        return evidence._replace(edge=np.where(flows[at] == evidence.edge, edges[at], evidence.edge))

    def _take(self, first: int, end: int, complete: bool) -> Outcome:
        """Read the evidence up to `end`; from `first` on again where that has been passed."""
        reached = self.detector.position if self.detector is not None else 0
        first = min(first, self._joined(complete))
        first = min(first, self._written_to)  # less than reached when the store failed before it took the events
        detector = self.detector if first >= reached else self._snapshots.before(first)
        found: list[Found] = []
        if detector is None or detector.position < self._whole()["10s"]:
            detector, found = self._begin(end)
        self.detector, base = detector, detector.position
        found += self._advance(detector, max(end, reached))
        still_open = self._read(detector.position, self._latest + 1)
        found += detector.peek(still_open)
        outcome = self._settle(found, base)
        self._written_to = detector.position
        return outcome

    def _begin(self, end: int) -> tuple[Detector, list[Found]]:
        """Begin where the store does. Old evidence is read coarsely where there is very much, or nothing finer."""
        firsts, whole = first_buckets(self._store), self._whole()
        fine = min(max(firsts.get("10s", end), whole["10s"]), end)
        if read_size(self._store) <= _FINE_ROWS and fine <= min(firsts.values(), default=end) + WIDTHS["1h"]:
            return Detector(self._rules, fine), []
        start = max(min(firsts.values(), default=end), end - self._rules.look_back) // 360 * 360
        detector, found = Detector(self._rules, min(max(start, _hour_from(whole["1h"])), end // 360 * 360)), []
        for level, age, finer in _COARSE_FROM:
            until = max((end - age) // 360 * 360, _hour_from(whole[finer]))
            found += self._advance(detector, min(until, end // WIDTHS[level] * WIDTHS[level]), level)
        stored = read_evident(self._store, 0, detector.position * _BUCKET_MS)
        return detector, [] if stored else found

    def _advance(self, detector: Detector, end: int, level: str = "10s") -> list[Found]:
        found: list[Found] = []
        size, width = _PIECE, WIDTHS[level]
        while detector.position < end:
            # Ever smaller pieces towards the end: late evidence then finds a copy of the detector that is near.
            size = max(min(size, (end - detector.position) // 2), _PIECE) // width * width or width
            until = min(detector.position + size, end)
            evidence = self._read(detector.position, until, level)
            found += detector.advance(evidence, until, width)
            self._snapshots.keep(detector)
            size = size * 2 if len(evidence.bucket) < _ROWS // 2 else max(size // 2, _PIECE)
        return found

    def _settle(self, found: list[Found], base: int) -> Outcome:
        """Write events that are not stored yet, and withdraw those evident after `base` that are not found now."""
        now, names = self._clock(), read_names(self._store, (one.edge for one in found))
        events = {event.id: event for one in found if (event := _event(one, names, now)) is not None}
        stored = {
            event.id: event for event in read_evident(self._store, base * _BUCKET_MS, (self._latest + 1) * _BUCKET_MS)
        }
        fresh = events.keys() - stored.keys()
        fresh -= known_ids(self._store, fresh)
        written = tuple(event for name, event in events.items() if name in fresh)
        withdrawn = tuple(replace(event, withdrawn=True) for name, event in stored.items() if name not in events)
        if self._writes and (written or withdrawn):
            write_events(self._store, [*written, *withdrawn])
        return Outcome(written, withdrawn)


def _hour_from(bucket: int) -> int:
    """The first bucket of an hour that begins no earlier than another bucket."""
    return -(-bucket // 360) * 360


def _event(found: Found, names: dict[int, EventEdge], now_ms: int) -> Event | None:
    edge = names.get(found.edge)
    if edge is None:  # taken back meanwhile
        return None
    time_ms = found.bucket * _BUCKET_MS
    return Event(
        id=event_id(found.type, edge.id, time_ms),
        type=found.type,
        time_ms=time_ms,
        evident_ms=found.evident * _BUCKET_MS,
        detected_ms=now_ms,
        edge=edge,
        layers=found.layers,
        probability=found.probability,
    )
