"""The detector over simulated systems: what it promises of false alarms and delays, and what must not confuse it."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.edge_world import DAY, EPOCH, World
from benchmarks.event_truth import LEARNING_DAYS, Judged
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.schema.observations import LAYERS
from chronotope.server.detection.detector import Detector, Evidence, Found
from chronotope.server.detection.saving import pack, unpack
from chronotope.server.detection.series import Rules
from chronotope.server.detection.short_history import TRUSTED
from chronotope.server.events.event import NEW, RETURNED, VANISHED

MINUTE, HOUR = 6, 360


def evidence(*edges: tuple[int, np.ndarray, np.ndarray | int], layer: str = "trace") -> Evidence:
    """Evidence of (number, buckets since EPOCH, counts) of one layer."""
    bucket = np.concatenate([buckets for _, buckets, _ in edges]) + EPOCH
    number = np.concatenate([np.full(len(buckets), own, np.uint64) for own, buckets, _ in edges])
    counts = np.concatenate([np.broadcast_to(own, len(buckets)) for _, buckets, own in edges])
    return Evidence(bucket, np.full(len(bucket), LAYERS.index(layer), np.int8), number, counts.astype(float))


def joined(*parts: Evidence) -> Evidence:
    return Evidence(*(np.concatenate(own) for own in zip(*parts, strict=True)))


def events(found: list[Found]) -> list[tuple[str, int, int]]:
    return [(one.type, one.edge, one.bucket - EPOCH) for one in found]


def background(buckets: int, count: int = 5) -> Evidence:
    """Some edges that speak in every bucket."""
    return evidence(*((1000 + own, np.arange(buckets), 5) for own in range(count)))


def run(rows: Evidence, end: int, rules: Rules | None = None) -> list[Found]:
    return Detector(rules or Rules(), EPOCH).advance(rows, EPOCH + end)


@pytest.mark.slow
def test_a_simulated_system_keeps_the_promise() -> None:
    """Three hundred edges, eight days, an outage, late evidence; the full size is benchmarks/bench_events.py."""
    outages = ((int(3.4 * DAY), int(3.4 * DAY) + 180, 1.0), (int(5.6 * DAY), int(5.6 * DAY) + 720, 0.85))
    judged = Judged(World(300, 8, seed=3, outages=outages), Rules())
    judged.run(late_share=0.02)
    assert judged.missed_new() == []
    assert judged.false_new() == 0
    assert len(judged.false_vanished(LEARNING_DAYS)) <= 1
    assert len(judged.false_vanished(0)) <= TRUSTED + 2, "told on trust in the first minutes"
    edge, silence, least, told = judged.delays()
    busy = judged.world.per_day()[edge] > 100
    steady = busy & (judged.world.habit[edge] <= 1)
    assert told[steady].mean() > 0.9
    assert np.median(silence[steady & told] / least[steady & told]) < 1.6


def test_an_outage_of_the_whole_layer_is_no_silence() -> None:
    calls = np.concatenate([np.arange(HOUR), np.arange(5 * HOUR, 6 * HOUR)])
    rows = evidence(*((own, calls, 10) for own in range(30)))
    assert run(rows, 6 * HOUR) == []


def test_an_outage_of_most_collectors_is_no_silence() -> None:
    whole, part = np.arange(8 * HOUR), np.concatenate([np.arange(4 * HOUR), np.arange(7 * HOUR, 8 * HOUR)])
    rows = evidence(*((own, whole if own < 8 else part, 10) for own in range(40)))
    assert run(rows, 8 * HOUR) == []


def test_hourly_jobs_whose_runs_fell_into_an_outage_have_not_vanished() -> None:
    """Each has a run of some minutes in an hour; half an hour is lost, in the second day."""
    days, out = 2, DAY + 5 * HOUR
    runs = [
        (own, (np.arange(days * 24)[:, None] * HOUR + 17 * own + np.arange(20 + own)).ravel(), 8) for own in range(20)
    ]
    rows = joined(background(days * DAY, 20), evidence(*runs))
    seen = (rows.bucket < EPOCH + out) | (rows.bucket >= EPOCH + out + 180)
    found = run(Evidence(*(part[seen] for part in rows)), days * DAY)
    assert [one for one in found if one.type == VANISHED and one.evident > EPOCH + DAY] == []


def test_what_is_left_of_a_layer_in_an_outage_may_vary() -> None:
    """An outage takes three quarters of a hundred edges, and chance lifts the rest above the share now and then."""
    rng, end = np.random.default_rng(3), 8 * HOUR
    rows = []
    for own in range(120):
        at = np.flatnonzero(rng.random(end) < 0.5)
        rows.append((own, at if own < 30 else at[(at < 4 * HOUR) | (at >= 6 * HOUR)], 3))
    assert run(evidence(*rows), end) == []


def test_a_tenth_of_the_edges_that_end_together_have_vanished() -> None:
    whole, part = np.arange(3 * HOUR), np.arange(2 * HOUR)
    rows = evidence(*((own, whole if own >= 4 else part, 10) for own in range(40)))
    assert events(run(rows, 3 * HOUR)) == [(VANISHED, own, 2 * HOUR) for own in range(4)]


def test_a_nightly_job_does_not_vanish_at_noon_but_when_its_night_passes() -> None:
    days = 12
    nights = np.concatenate([np.arange(60) + 3 * HOUR + day * DAY for day in range(days - 3)])
    found = events(run(joined(background(days * DAY), evidence((1, nights, 20))), days * DAY))
    last = int(nights[-1]) + 1
    # Nobody can know of the rhythm in the first night: this silence is told on trust.
    assert [one for one in found if one[2] > 2 * DAY] == [(VANISHED, 1, last)]
    told = run(joined(background(days * DAY), evidence((1, nights, 20))), days * DAY)[-1]
    assert DAY - 60 <= told.evident - EPOCH - last <= 1.5 * DAY


@pytest.mark.parametrize("nights", [4, 6])
def test_a_nightly_job_is_known_after_four_nights_though_an_outage_fell_between_them(nights: int) -> None:
    """The outage is neither in a run nor near the end; a job that runs every day at its hour is regular by then."""
    end, out = nights + 3, int(2.6 * DAY)
    runs = np.concatenate([np.arange(60) + 3 * HOUR + day * DAY for day in range(nights)])
    rows = joined(background(end * DAY), evidence((1, runs, 20)))
    covered = (rows.bucket < EPOCH + out) | (rows.bucket >= EPOCH + out + 180)
    told = run(Evidence(*(part[covered] for part in rows)), end * DAY)[-1]
    last = int(runs[-1]) + 1
    assert (told.type, told.bucket - EPOCH) == (VANISHED, last)
    assert told.evident - EPOCH - last <= 1.6 * DAY


def jobs(count: int, days: int, seed: int) -> Evidence:
    """Jobs that run for five to forty minutes, each at its hour of every day."""
    rng = np.random.default_rng(seed)
    rows = []
    for own in range(count):
        once = rng.integers(0, DAY - 300) + np.arange(rng.integers(30, 240))
        rows.append((own, np.concatenate([once + day * DAY for day in range(days)]), int(rng.integers(1, 30))))
    return evidence(*rows)


def test_of_a_hundred_daily_jobs_few_are_told_before_their_second_day() -> None:
    """Each one's first silence looks like an end: what is told on trust is bounded, however many there are."""
    many = evidence(*((2000 + own, np.arange(own % 6, 3 * DAY, 6), 5) for own in range(100)))
    rows = joined(background(3 * DAY, 20), many, jobs(100, 3, seed=3))
    found = [one for one in run(rows, 3 * DAY) if one.type == VANISHED]
    assert 0 < len(found) <= TRUSTED
    assert all(one.evident < EPOCH + DAY for one in found)


def test_of_jobs_in_a_small_young_store_five_incidents_are_told() -> None:
    """They began while they were watched: only of what was there before everything is told."""
    rows = joined(background(2 * DAY, 20), jobs(40, 2, seed=3))
    found = [one for one in run(rows, 2 * DAY) if one.type == VANISHED and one.evident < EPOCH + DAY]
    moments = np.sort([one.bucket for one in found])
    # Of more than five, those are what was there when the layer began.
    assert 1 + np.count_nonzero(np.diff(moments) > 3 * MINUTE) <= TRUSTED + 1


FIRST = 150  # edges that are there when a layer begins, of which it has more than a hundred


def first_day_rows(ends: dict[int, int], end: int, *more: tuple[int, np.ndarray, np.ndarray | int]) -> Evidence:
    """A layer whose FIRST edges are there from its beginning; jobs use up all trust."""
    rows = evidence(*((own, np.arange(own % 4, ends.get(own, end), 2), 6) for own in range(FIRST)), *more)
    runs = evidence(*((900 + own, np.arange(60) + 90 + 20 * own, 9) for own in range(20)))
    return joined(rows, runs)


def first_day(ends: dict[int, int], end: int, *more: tuple[int, np.ndarray, np.ndarray | int]) -> list[Found]:
    """What is told as vanished of it, but for the jobs."""
    found = run(first_day_rows(ends, end, *more), end)
    return [one for one in found if one.type == VANISHED and one.edge < 900]


def test_the_end_of_what_was_there_before_is_told_within_an_hour() -> None:
    ends = {own: (3 + at) * HOUR + own for at, own in enumerate((3, 14, 15, 92, 65))}
    found = first_day(ends, 9 * HOUR)
    assert [one.edge for one in found] == list(ends)
    assert all(0 <= EPOCH + ends[one.edge] - one.bucket < 2 for one in found)
    assert all(one.evident - one.bucket <= HOUR for one in found)


def test_what_began_later_and_what_paused_may_be_a_job() -> None:
    """An edge that came after the layer, and one that was there but not for half an hour between, wait for the day."""
    later, end = np.arange(HOUR, 5 * HOUR), 12 * HOUR
    paused = np.concatenate([np.arange(HOUR), np.arange(HOUR + 180, 6 * HOUR)])
    found = first_day({7: 3 * HOUR}, end, (500, later, 6), (501, paused, 6))
    assert [one.edge for one in found if one.bucket > EPOCH + 2 * HOUR] == [7]


def test_what_was_there_before_waits_where_runs_as_long_have_begun_and_ended() -> None:
    runs = [(500 + own, np.arange(HOUR + own, 4 * HOUR + own), 6) for own in range(2)]
    assert [one.edge for one in first_day({7: 3 * HOUR, 5: 6 * HOUR}, 10 * HOUR, *runs)] == [7]


def test_the_end_of_a_working_day_is_no_end_of_its_edges() -> None:
    """Sixty of 150 edges stop within two hours, one after another: some of the first few are told."""
    rng = np.random.default_rng(5)
    ends = {own: int(8 * HOUR + rng.integers(0, 2 * HOUR)) for own in range(60)}
    assert len(first_day(ends, 20 * HOUR)) <= 2 * TRUSTED


@pytest.mark.parametrize("spread", [18, 2 * HOUR])
def test_what_is_told_of_a_first_day_does_not_depend_on_pieces(spread: int) -> None:
    """Cut by the bucket and by the hour, so that the detector knows the edges in another order."""
    rng, end = np.random.default_rng(8), 9 * HOUR
    rows = first_day_rows({own: int(4 * HOUR + rng.integers(0, spread)) for own in range(40)}, end)
    detector, found = Detector(Rules(), EPOCH), []
    for until in [*range(EPOCH + 1, EPOCH + 8), *range(EPOCH + HOUR, EPOCH + end + 1, HOUR)]:
        found += detector.advance(rows.since(detector.position).before(until), until)
    assert found == run(rows, end)
    assert len(found) > TRUSTED


def test_a_service_that_ends_whole_is_told_whole_in_a_large_young_layer() -> None:
    """Forty edges in three minutes are one incident, not the end of a working day."""
    rng = np.random.default_rng(5)
    ends = {own: int(5 * HOUR + rng.integers(0, 18)) for own in range(40)}
    assert sorted(one.edge for one in first_day(ends, 7 * HOUR)) == sorted(ends)


def test_what_was_long_there_is_told_at_once_in_a_store_of_two_hours_with_jobs() -> None:
    """Twenty of sixty edges are taken away together; runs of ten minutes had ended before, and used up all trust."""
    rng, whole, part = np.random.default_rng(6), np.arange(3 * HOUR), np.arange(2 * HOUR)
    lasting = evidence(*((own, whole if own >= 20 else part, 10) for own in range(60)))
    runs = [np.arange(60) + at for at in rng.integers(10, HOUR, 30)]
    found = run(joined(lasting, evidence(*((100 + own, at, 10) for own, at in enumerate(runs)))), 3 * HOUR)
    gone = [one for one in found if one.type == VANISHED and one.edge < 100]
    assert [(one.edge, one.bucket - EPOCH) for one in gone] == [(own, 2 * HOUR) for own in range(20)]
    assert all(one.evident - one.bucket < 12 for one in gone)


def test_a_service_that_is_taken_away_minutes_after_the_start_is_told_whole() -> None:
    """Twelve of thirty edges end within a minute, and as their rates differ they are found one after another."""
    rng, end = np.random.default_rng(9), 60
    ends = {own: end - int(rng.integers(0, 5)) if own < 12 else 400 for own in range(30)}
    calls = {own: np.flatnonzero(rng.random(until) < 0.35 + 0.02 * own) for own, until in ends.items()}
    rows = joined(background(400), evidence(*((own, at, 3) for own, at in calls.items())))
    found = [one for one in run(rows, 400) if one.type == VANISHED]
    assert sorted(one.edge for one in found) == list(range(12))
    assert len({one.evident for one in found}) > 2


def test_a_young_edge_among_many_that_came_and_went_is_told_after_a_day() -> None:
    rows = joined(background(4 * DAY, 20), jobs(20, 4, seed=3), evidence((500, np.arange(2 * DAY, 2 * DAY + 400), 9)))
    (told,) = (one for one in run(rows, 4 * DAY) if one.edge == 500 and one.type == VANISHED)
    assert DAY < told.evident - told.bucket <= 1.26 * DAY


def test_in_a_small_young_store_every_end_is_told() -> None:
    """Twelve of forty edges end one after another, though one came back: nobody waits for a day there."""
    ends = {own: 2 * HOUR + 30 * own for own in range(12)}
    rows = evidence(*((own, np.arange(ends.get(own, 6 * HOUR)), 10) for own in range(40)))
    came_back = evidence((50, np.concatenate([np.arange(HOUR), np.arange(HOUR + 60, 6 * HOUR)]), 10))
    found = [one for one in run(joined(rows, came_back), 6 * HOUR) if one.type == VANISHED and one.edge < 50]
    assert [(one.edge, one.bucket - EPOCH) for one in found] == list(ends.items())
    assert all(one.evident - one.bucket < 12 for one in found)


def test_a_quiet_weekend_is_told_once() -> None:
    """Five working days are all that is known before the first weekend: a week's rhythm is learnt from it."""
    rng, weeks = np.random.default_rng(1), 5
    at = np.arange(weeks * 7 * DAY)
    working = (at // DAY % 7 < 5) & (rng.random(len(at)) < 0.3)
    found = events(run(joined(background(len(at)), evidence((1, at[working], 3))), len(at)))
    assert [kind for kind, edge, _ in found if edge == 1] == [VANISHED, RETURNED]


@pytest.mark.parametrize("factor", [10, 0.1])
def test_a_rate_that_jumps_tenfold_is_followed(factor: float) -> None:
    """Twenty edges: a fall by ten may look like an end for some buckets, and is told at most for a few of them."""
    rng, half = np.random.default_rng(2), 12 * HOUR
    at = np.arange(2 * half)
    calls = [rng.poisson(np.where(at < half, 10.0, 10.0 * factor)) for _ in range(20)]
    rows = evidence(*((own, at[count > 0], count[count > 0]) for own, count in enumerate(calls)))
    told = [one for one in events(run(joined(background(len(at)), rows), len(at))) if one[0] == VANISHED]
    assert len(told) <= (0 if factor > 1 else 4)


def test_bursts_are_no_ends() -> None:
    """On for ten minutes, off for twenty, at random: after a day no pause is told."""
    rng, days = np.random.default_rng(4), 10
    rows = []
    for own in range(10):
        runs = np.cumsum(np.maximum(rng.exponential(np.tile([60, 120], days * 70)).astype(int), 1))
        on = np.concatenate([np.arange(a, b) for a, b in zip(runs[1::2], runs[2::2], strict=False)])
        rows.append((own, on[on < days * DAY], 10))
    found = events(run(joined(background(days * DAY), evidence(*rows)), days * DAY))
    assert [one for one in found if one[0] == VANISHED and one[2] > DAY] == []


def test_one_batch_of_many_calls_is_no_proof_of_a_rate() -> None:
    assert run(joined(background(6 * HOUR), evidence((1, np.array([HOUR]), 10_000))), 6 * HOUR)[1:] == []


def test_an_edge_that_another_layer_still_sees_has_not_vanished() -> None:
    whole, part = np.arange(2 * HOUR), np.arange(HOUR)
    other = evidence(*((own, whole, 5) for own in (1, 2000, 2001)), layer="network")
    rows = joined(background(2 * HOUR), evidence((1, part, 5), (2, part, 5)), other)
    (found,) = run(rows, 2 * HOUR)
    assert (found.type, found.edge, found.layers) == (VANISHED, 2, ("trace",))


def test_an_edge_is_new_once_though_two_layers_see_it_begin() -> None:
    begun = np.arange(HOUR, 2 * HOUR)
    other = evidence((2000, np.arange(2 * HOUR), 5), (1, begun + 1, 5), layer="network")
    found = run(joined(background(2 * HOUR), evidence((1, begun, 5)), other), 2 * HOUR)
    assert events(found) == [(NEW, 1, HOUR)]


def test_an_edge_is_new_again_after_the_look_back() -> None:
    calls = np.concatenate([np.arange(30), np.arange(5 * DAY, 5 * DAY + 30)])
    rows = joined(background(6 * DAY), evidence((1, calls, 5)))
    assert events(run(rows, 6 * DAY, Rules(look_back=3 * DAY)))[-1] == (NEW, 1, 5 * DAY)
    assert events(run(rows, 6 * DAY))[-1] == (RETURNED, 1, 5 * DAY)


lives = st.lists(
    st.tuples(st.integers(0, 600), st.integers(1, 200), st.integers(1, 9), st.sampled_from(LAYERS)),
    min_size=1, max_size=8,
)  # fmt: skip


@given(lives, st.lists(st.integers(1, 700), max_size=6), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_pieces_order_and_saving_do_not_matter(
    edges: list[tuple[int, int, int, str]], cuts: list[int], seed: int, saved: bool
) -> None:
    """Whatever is taken at a time, in whatever order within it, saved and loaded in between: the same events."""
    parts = [
        evidence((number, np.arange(start, start + length), count), layer=layer)
        for number, (start, length, count, layer) in enumerate(edges)
    ]
    rows = joined(background(800), *parts)
    whole = run(rows, 800)
    shuffled = Evidence(*(part[np.random.default_rng(seed).permutation(len(rows.bucket))] for part in rows))
    order = np.random.default_rng(seed).permutation(len(rows.bucket))
    shuffled = Evidence(*(part[order] for part in rows))
    detector, found = Detector(Rules(), EPOCH), []
    for end in [*sorted(EPOCH + cut for cut in cuts), EPOCH + 800]:
        found += detector.advance(shuffled.since(detector.position).before(end), end)
        if saved:
            detector = unpack(pack(detector), Rules())
    assert found == whole


@given(st.integers(0, 799), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_going_on_from_a_copy_is_going_on(cut: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    calls = np.flatnonzero(rng.random(800) < 0.4)
    rows = joined(background(800), evidence((1, calls[calls < 500], 3), (2, calls[calls > 200], 3)))
    detector = Detector(Rules(), EPOCH)
    detector.advance(rows.before(EPOCH + cut), EPOCH + cut)
    copy = detector.copy()
    first = detector.advance(rows.since(EPOCH + cut), EPOCH + 800)
    assert copy.advance(rows.since(EPOCH + cut), EPOCH + 800) == first
    for name, layer in detector.layers.items():
        assert all(map(np.array_equal, layer, copy.layers[name]))
