"""Detection of dependency events: how right, how fast, and what a tick of many live edges costs.

`--sizes=full` simulates 10,000 edges over two weeks, some minutes, and draws events.png beside this file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.edge_world import DAY, HABITS, HOUR, World
from benchmarks.event_truth import LEARNING_DAYS, Judged
from pytest_benchmark.fixture import BenchmarkFixture

from chronotope.server.detection.detector import Detector, Evidence
from chronotope.server.detection.series import Rules
from chronotope.server.detection.short_history import TRUSTED

SYSTEMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "long_jobs": {"job": (30, 6 * HOUR)},
    "office": {"shares": (0.3, 0.4, 0.1, 0.1, 0.05, 0.05), "begins": 10},
}
PLOT = Path(__file__).with_name("events.png")


def outages(days: int) -> tuple[tuple[int, int, float], ...]:
    """Half an hour and six hours without anything, two hours without most."""
    every = ((3.4, 180, 1.0), (9.1, 2160, 1.0), (12.7, 720, 0.85))
    return tuple((int(day * DAY), int(day * DAY) + length, share) for day, length, share in every if day < days)


@pytest.mark.sizes("size", [(1000, 14)], [(10_000, 14)])
def test_events_of_a_simulated_system(benchmark: BenchmarkFixture, size: tuple[int, int]) -> None:
    edges, days = size
    judged = Judged(World(edges, days, outages=outages(days)), Rules())
    benchmark.pedantic(judged.run, kwargs={"late_share": 0.01}, rounds=1)
    figures = figures_of(judged)
    benchmark.extra_info |= figures
    print(figures, file=sys.stderr)
    assert judged.missed_new() == []
    assert judged.false_new() == 0
    allowed = judged.rules.false_a_day * judged.world.alive_days()
    assert figures["false"] <= TRUSTED + allowed + 2 * np.sqrt(allowed)
    if edges >= 10_000:
        draw(judged, figures)


@pytest.mark.sizes("edges", [2_000], [10_000])
@pytest.mark.parametrize("system", SYSTEMS)
def test_first_day_of_a_simulated_system(benchmark: BenchmarkFixture, system: str, edges: int) -> None:
    """Two days, so that what waits for a day is told: also with jobs of up to six hours, and edges of office hours."""
    judged = Judged(World(edges, 2, ending=0.3 / 7, late_start=0.2 / 7, **SYSTEMS[system]), Rules())
    benchmark.pedantic(judged.run, kwargs={"late_share": 0.01}, rounds=1)
    figures = figures_of(judged)
    benchmark.extra_info |= figures
    print(system, figures, file=sys.stderr)
    assert figures["false"] <= TRUSTED + edges / 100
    if system == "plain":
        assert figures["told_within_1_2_32_hours"][1] > figures["ended_in_the_first_day"] / 2


def figures_of(judged: Judged) -> dict[str, Any]:
    """The numbers that are promised, and those beside them."""
    world = judged.world
    days = world.alive_days()
    false = judged.false_vanished(0)
    early = len(false) - len(judged.false_vanished(LEARNING_DAYS))
    edge, silence, least, told = judged.delays()
    first_day = judged.first_day_delays()
    ratio = {}
    for habit, name in enumerate(HABITS):
        own = (world.habit[edge] == habit) & told
        if own.any():
            ratio[name] = [round(float(at), 2) for at in np.quantile(silence[own] / least[own], (0.5, 0.9))]
    return {
        "rows": judged.rows,
        "edge_days": round(days),
        "false": len(false),
        "false_per_10000_edge_days": round(1e4 * len(false) / days, 2),
        "false_in_the_first_days": early,
        "false_by_habit": {
            name: int(sum(world.habit[one.edge] == at for one in false)) for at, name in enumerate(HABITS)
        },
        "ended": len(edge),
        "told": int(told.sum()),
        "ended_in_the_first_day": len(first_day),
        "told_within_1_2_32_hours": [int((first_day <= hours * HOUR).sum()) for hours in (1, 2, 32)],
        "delay_to_optimum_median_p90": ratio,
        "taken_back_when_late_evidence_came": judged.taken_back,
    }


def draw(judged: Judged, figures: dict[str, Any]) -> None:
    """Delay by rate beside the optimum, and their ratio."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    world = judged.world
    edge, silence, least, told = judged.delays()
    a_day = world.per_day()[edge]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 5), layout="constrained")
    line = np.logspace(0, 5, 100)
    left.plot(line, 86_400 * np.log(line / judged.rules.false_a_day) / line, "k-", lw=1, label="optimum, steady")
    for habit, name in enumerate(HABITS):
        own = (world.habit[edge] == habit) & told
        left.plot(a_day[own], 10 * silence[own], ".", ms=3, label=f"{name} ({own.sum()})")
        right.plot(a_day[own], silence[own] / least[own], ".", ms=3, label=name)
    left.plot(a_day[~told], np.full((~told).sum(), 3e6), "x", ms=4, color="grey", label=f"not told ({(~told).sum()})")
    left.set(xscale="log", yscale="log", xlabel="calls a day", ylabel="silence until told, seconds")
    right.set(xscale="log", yscale="log", xlabel="calls a day", ylabel="silence ÷ least possible for known habits")
    right.axhline(1, color="k", lw=1)
    left.legend()
    right.legend()
    figure.suptitle(
        f"{figures['false']} false in {figures['edge_days']:,} edge-days "
        f"({figures['false_per_10000_edge_days']} per 10,000; promised: 1)"
    )
    figure.savefig(PLOT, dpi=80)


@pytest.mark.sizes("edges", [10_000], [100_000])
def test_tick_of_many_live_edges(benchmark: BenchmarkFixture, edges: int) -> None:
    """Each of ten seconds: 60 % of the edges speak; the detector takes them and keeps a copy of itself."""
    rng = np.random.default_rng(1)
    numbers = rng.integers(0, 2**63, edges).astype(np.uint64)
    detector, start = Detector(Rules(), 170_000_640), 170_000_640

    def evidence(bucket: int) -> Evidence:
        own = numbers[rng.random(edges) < 0.6]
        return Evidence(np.full(len(own), bucket), np.full(len(own), 2, np.int8), own, rng.poisson(5, len(own)) + 1.0)

    for bucket in range(start, start + 400):
        detector.advance(evidence(bucket), bucket + 1)

    def tick() -> None:
        bucket = detector.position
        assert detector.advance(batch[0], bucket + 1) == []
        detector.copy()

    def setup() -> None:
        batch[:] = [evidence(detector.position)]

    batch: list[Evidence] = []
    benchmark.pedantic(tick, setup=setup, rounds=30)
    state = detector.layers["trace"]
    arrays = (*state[1:], detector.numbers)
    benchmark.extra_info["state_bytes_per_edge"] = sum(own.nbytes for own in arrays) / edges
    assert len(detector.numbers) == edges
