"""A simulated system with known truth: edges of many rates and habits that begin and end, and collectors that fail.

Invariant: the evidence of a day is a function of the seed alone. An edge is alive from `start` to `end` (buckets of ten
seconds since the beginning), whether it happens to speak or not; what is counted while its collector is down is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from chronotope.server.detection.detector import Evidence

DAY = 8640  # buckets
HOUR = 360
EPOCH = 170_000_640  # a day's start, in buckets since 1970
STEADY, DAILY, NIGHTLY, BURSTY, HOURLY, OFFICE = range(6)
HABITS = ("steady", "daily rhythm", "nightly job", "bursty", "hourly job", "office hours")


@dataclass(slots=True)
class World:
    """E edges over some days.

    Attributes:
        rate: events a bucket on average, float64[E]; of a job, or within office hours, while it runs.
        habit: index in HABITS.
        start, end: int64[E], buckets since the beginning.
        begins: hour of the day at which the beginning is.
        job: shortest and longest run of a nightly job, buckets; lengths are even by their logarithm.
        depth: of a daily rhythm, 0 to 1.
        outages: (first bucket, end, share of the edges that are lost).
    """

    edges: int = 10_000
    days: int = 28
    seed: int = 1
    shares: tuple[float, ...] = (0.3, 0.45, 0.1, 0.1, 0.05, 0.0)  # of each of HABITS
    begins: int = 0
    job: tuple[int, int] = (30, 240)
    ending: float = 0.3
    late_start: float = 0.2
    outages: tuple[tuple[int, int, float], ...] = ()
    rate: np.ndarray = field(init=False)
    habit: np.ndarray = field(init=False)
    start: np.ndarray = field(init=False)
    end: np.ndarray = field(init=False)
    _phase: np.ndarray = field(init=False)
    depth: np.ndarray = field(init=False)
    _length: np.ndarray = field(init=False)
    _period: np.ndarray = field(init=False)
    _on: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        count, last = self.edges, self.days * DAY
        self.habit = rng.choice(len(HABITS), count, p=np.array(self.shares) / sum(self.shares))
        # From one call a second to one a day.
        self.rate = np.exp(rng.uniform(np.log(1 / DAY), np.log(10), count))
        runs = np.isin(self.habit, [NIGHTLY, HOURLY, OFFICE])
        self.rate[runs] = np.exp(rng.uniform(np.log(0.3), np.log(50), runs.sum()))
        self.start = np.where(rng.random(count) < self.late_start, rng.integers(0, last, count), 0)
        self.end = np.where(rng.random(count) < self.ending, rng.integers(0, last, count), last)
        self.end = np.maximum(self.end, self.start)
        # The system's day: most edges share it, within some hours.
        self._phase = np.where(
            self.habit == DAILY, rng.normal(14 * HOUR, 1.5 * HOUR, count), rng.integers(0, DAY, count)
        )
        self.depth = rng.uniform(0.3, 0.95, count)
        self._length = np.exp(rng.uniform(*np.log(self.job), count)).astype(int)
        office = self.habit == OFFICE
        self._phase[office] = rng.normal(8 * HOUR, HOUR / 2, office.sum())
        self._length[office] = rng.normal(10 * HOUR, HOUR / 2, office.sum())
        self._length[self.habit == HOURLY] = rng.integers(6, 60, (self.habit == HOURLY).sum())
        self._period = np.where(self.habit == HOURLY, HOUR, DAY)
        self._phase -= self.begins * HOUR
        self._on = np.ones(count, bool)

    def alive_days(self, since: int = 0) -> float:
        """Return edge-days lived from a bucket on."""
        return float(np.maximum(self.end - np.maximum(self.start, since), 0).sum() / DAY)

    def per_day(self) -> np.ndarray:
        """Return the calls a day of each edge, float64[E]."""
        runs = np.isin(self.habit, [NIGHTLY, HOURLY, OFFICE])
        return self.rate * np.where(runs, self._length * (DAY // self._period), DAY)

    def expected_of(self, edge: int, at: np.ndarray) -> np.ndarray:
        """Return the events expected of an edge that is not bursty in some buckets, had it lived on."""
        if self.habit[edge] in (NIGHTLY, HOURLY, OFFICE):
            return self.rate[edge] * ((at - self._phase[edge]) % self._period[edge] < self._length[edge])
        wave = np.cos(2 * np.pi * (at - self._phase[edge]) / DAY) if self.habit[edge] == DAILY else 0.0
        return np.asarray(self.rate[edge] * (1 + self.depth[edge] * wave) + 0.0 * at)

    def hours(self) -> Iterator[tuple[int, Evidence]]:
        """Yield (first bucket since the epoch, evidence) hour after hour."""
        rng = np.random.default_rng(self.seed + 1)
        for first in range(0, self.days * DAY, HOUR):
            at = np.arange(first, first + HOUR)
            counts = rng.poisson(self._expected(at, rng))
            for begin, end, share in self.outages:
                down = (at >= begin) & (at < end)
                if down.any():
                    lost = np.random.default_rng(begin).random(self.edges) < share
                    counts[np.ix_(lost, down)] = 0
            edge, column = np.nonzero(counts)
            events = counts[edge, column].astype(np.float64)
            bucket = EPOCH + at[column]
            layer = np.full(len(edge), 2, np.int8)
            yield EPOCH + first, Evidence(bucket, layer, edge.astype(np.uint64), events)

    def _expected(self, at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Events expected of each edge in each of some buckets, float64[E, B]."""
        expected = np.repeat(self.rate[:, None], len(at), 1)
        day = self.habit == DAILY
        wave = np.cos(2 * np.pi * (at[None] - self._phase[day, None]) / DAY)
        expected[day] *= 1 + self.depth[day, None] * wave
        runs = np.isin(self.habit, [NIGHTLY, HOURLY, OFFICE])
        since = (at[None] - self._phase[runs, None]) % self._period[runs, None]
        expected[runs] *= since < self._length[runs, None]
        burst = np.flatnonzero(self.habit == BURSTY)
        # On for 10 minutes, off for 20, on average.
        on = np.zeros((len(burst), len(at)), bool)
        for column in range(len(at)):
            flip = rng.random(len(burst)) < np.where(self._on[burst], 1 / 60, 1 / 120)
            self._on[burst] ^= flip
            on[:, column] = self._on[burst]
        expected[burst] *= 3 * on
        expected *= (at >= self.start[:, None]) & (at < self.end[:, None])
        return expected
