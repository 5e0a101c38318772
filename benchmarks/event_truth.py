"""What detection found in a simulated world, held against the truth; and the least delay that was possible."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from benchmarks.edge_world import BURSTY, DAILY, DAY, EPOCH, HOUR, STEADY, World

from chronotope.server.detection.detector import Detector, Evidence, Found
from chronotope.server.detection.series import Rules
from chronotope.server.events.event import NEW, VANISHED

LEARNING_DAYS = 2  # a store that has seen less of a daily rhythm cannot know it


@dataclass(slots=True)
class Judged:
    """Events of a world beside its truth; arrays by edge, buckets since the beginning, -1 for never."""

    world: World
    rules: Rules
    found: list[Found] = field(default_factory=list)
    spoke_first: np.ndarray = field(init=False)
    spoke_last: np.ndarray = field(init=False)
    taken_back: int = 0
    rows: int = 0

    def __post_init__(self) -> None:
        self.spoke_first = np.full(self.world.edges, -1)
        self.spoke_last = np.full(self.world.edges, -1)

    def run(self, late_share: float = 0.0) -> Detector:
        """Let the hours pass. A share of each hour's evidence comes when the hour is over: it is then taken again."""
        detector, rng = Detector(self.rules, EPOCH), np.random.default_rng(5)
        for first, evidence in self.world.hours():
            self._see(evidence)
            late = rng.random(len(evidence.bucket)) < late_share
            before = detector.copy() if late.any() else detector
            hour_end = first + 360
            early = detector.advance(Evidence(*(part[~late] for part in evidence)), hour_end)
            if late.any():
                detector, complete = before, before.advance(evidence, hour_end)
                self.taken_back += len({one[:3] for one in early} - {one[:3] for one in complete})
                early = complete
            self.found += early
        return detector

    def _see(self, evidence: Evidence) -> None:
        edge, at = evidence.edge.astype(np.int64), evidence.bucket - EPOCH
        self.rows += len(edge)
        fresh = self.spoke_first < 0
        first = np.full(self.world.edges, np.iinfo(np.int64).max)
        np.minimum.at(first, edge, at)
        np.maximum.at(self.spoke_last, edge, at)
        own = fresh & (first < np.iinfo(np.int64).max)
        self.spoke_first[own] = first[own]

    def missed_new(self) -> list[int]:
        """Edges whose first evidence was not told as new within its own bucket."""
        told = {one.edge: one for one in self.found[::-1] if one.type == NEW}
        begin = int(self.spoke_first[self.spoke_first >= 0].min()) + self.rules.baseline
        return [
            edge
            for edge, first in enumerate(self.spoke_first.tolist())
            if first >= begin
            and (edge not in told or told[edge].bucket != first + EPOCH or told[edge].evident != first + EPOCH + 1)
        ]

    def false_new(self) -> int:
        """Events of new edges beyond one for each edge."""
        told = [one.edge for one in self.found if one.type == NEW]
        return len(told) - len(set(told))

    def false_vanished(self, since_day: float) -> list[Found]:
        """Edges told as vanished while they lived, from a day on."""
        return [
            one
            for one in self.found
            if one.type == VANISHED
            and one.evident - EPOCH <= self.world.end[one.edge]
            and one.evident - EPOCH > since_day * DAY
        ]

    def delays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return (edge, silence until told, the least possible one, whether told) of edges that ended, in buckets.

        Only edges that had three days to be known and three times the least delay to be told.
        """
        told = {}
        for one in self.found:
            if one.type == VANISHED and one.evident - EPOCH > self.world.end[one.edge]:
                told.setdefault(one.edge, one.evident - one.bucket)
        last, total = self.spoke_last, self.world.days * DAY
        ended = np.flatnonzero((self.world.end < total) & (last - self.spoke_first > 3 * DAY))
        least = np.array([least_silence(self.world, edge, int(last[edge]) + 1, self.rules) for edge in ended])
        seen = last[ended] + 3 * np.maximum(least, DAY / 24) < total
        ended, least = ended[seen], least[seen]
        silence = np.array([told.get(int(edge), np.nan) for edge in ended], float)
        return ended, silence, least, np.isfinite(silence)

    def first_day_delays(self) -> np.ndarray:
        """Return the silence until told, in buckets, NaN never, of edges that ended in the first day.

        Only steady ones and those of a daily rhythm that lived for two hours, and could be told within an hour: at
        their slowest they make 25 events an hour, of which a silence must miss some 20 to be improbable.
        """
        world = self.world
        slowest = world.rate * np.where(world.habit == DAILY, 1 - world.depth, 1.0) * HOUR
        lived = (world.end < DAY) & (self.spoke_first >= 0) & (world.end - self.spoke_first > 2 * HOUR)
        ended = np.flatnonzero(lived & (slowest >= 25) & np.isin(world.habit, [STEADY, DAILY]))
        told = {}
        for one in self.found:
            if one.type == VANISHED and one.evident - EPOCH > world.end[one.edge]:
                told.setdefault(one.edge, one.evident - one.bucket)
        return np.array([told.get(int(edge), np.nan) for edge in ended], float)


def least_silence(world: World, edge: int, since: int, rules: Rules) -> float:
    """Return the shortest silence, in buckets, after which one may tell an edge of known habits and keep the promise.

    The formula is that of server/detection/silence.py: events expected in the silence = ln(chances a day / f).
    """
    a_day = world.per_day()[edge]
    if world.habit[edge] == BURSTY:
        # Off for 120 buckets on average, 48 times a day: or slower, when even its bursts are sparse.
        return max(120 * np.log(48 / rules.false_a_day), DAY / a_day * np.log(a_day / rules.false_a_day))
    wanted = max(np.log(a_day / rules.false_a_day), 1.0)
    if world.habit[edge] == STEADY:
        return wanted / world.rate[edge]
    step = 6 if world.habit[edge] == DAILY else 1
    at = since + np.arange(0, 40 * DAY, step)
    return float(step * (1 + np.searchsorted(np.cumsum(world.expected_of(edge, at)) * step, wanted)))
