"""How improbable a series' silence is, from its own history. Pure and compiled: scalars in, scalars out.

A *series* is an edge in one layer. Its clock counts the ten-second buckets in which the layer saw anything at all, so a
collector that was down adds nothing to a silence. Events are expected at a rate by hour of the day; the events that a
silence missed are their sum L. With n events seen, and a rate that is itself estimated, a Poisson process has this
predictive probability of silence (gamma prior, shape n; Lomax):

    P(silence > L) = (1 + L / n) ^ (-n / d)      surprise a = -ln P = (n / d) ln(1 + L / n)

d is the dispersion, variance over mean of counts (quasi-Poisson): d events that come together count as one. The same
formula with the last ~64 events instead of all uses the recent rate; the smaller surprise counts. A series that is
active in r buckets a day has r chances a day for a long silence, so r exp(-a) such silences a day are expected.

Counts need not be independent (on and off for hours, nightly runs): silences that ended show this. Of the largest
surprises a_1 >= a_2 >= ... of D days, the excesses over the k-th are exponential whatever lies below (peaks over a
threshold). With their sum E, the predictive number of silences beyond a is (k / D) (1 + (a - a_k) / E) ^ (1 - k) a day.
The least of this for k = 2, 3, 4, 8, 16, 32 counts, and the same for lengths instead of surprises: what runs by the
clock is regular in these. While there are few silences, one scale for all is taken as well.

A silence is reported when both numbers are below f, and it is a quarter longer than any that ended. It is then reported
wrongly at most f times a day. short_history.py adds rules for a series that is not a day old. For a Poisson process of
known rate q a day this is the shortest silence that keeps the promise at all: a rule that reports a shorter silence t
is wrong q exp(-q t) > f times a day. So the optimum is t = ln(q / f) / q. What our rule takes longer is the price of
not knowing the rate, the hour, the dispersion and the tail.
"""

from __future__ import annotations

import numpy as np

from chronotope.server.detection.series import BUCKETS_A_DAY, TOP_DAYS, TOPS, Record, compiled

_PRIOR_BUCKETS = 5.0  # how many buckets of the prior dispersion a series begins with
_LEAST_DISPERSION = 0.3  # of a clockwork
_PRIOR_EVENTS = 1.0  # how many events of the layer's shape of the day an hour begins with
_RECENT_EVENTS = 64.0
_FEWEST, _MANY = 2, 4  # silences that have a tail; that need no scale besides
_SPREAD = 1.0  # added to sums of excesses: buckets and fading make equal what was not
_MOST = 40.0  # exponents beyond this are "never"


@compiled
def dispersion(series: Record) -> float:
    """Return the dispersion of one series, a record of SERIES. It begins at half the mean: bursts are likelier."""
    mean = series["events"] / series["seen"]
    prior = max(1.0, mean / 2)
    found = (series["square"] + _PRIOR_BUCKETS * prior) / (series["seen"] + _PRIOR_BUCKETS)
    return float(max(_LEAST_DISPERSION, found))


@compiled
def rate(series: Record, counts: np.ndarray, exposure: np.ndarray, shape: np.ndarray, hour: int) -> float:
    """Return the events expected in a tick of an hour of the day.

    Args:
        series: a record of SERIES.
        counts: events by hour of the day, of this series; `exposure` its ticks.
        shape: how much more or less than on average the whole layer does by hour of the day.
    """
    mean = series["events"] / series["seen"]
    weight = _PRIOR_EVENTS * max(1.0, dispersion(series))
    return float((counts[hour] + weight * shape[hour]) / (exposure[hour] + weight / mean))


@compiled
def surprise(series: Record, missed: float) -> float:
    """Return -ln P of a silence in which `missed` events were expected."""
    events, lately, expected = series["events"], series["lately"], series["lately_expected"]
    least = min(events * np.log1p(missed / events), lately * np.log1p(missed / expected))
    return float(least / dispersion(series))


@compiled
def chances(series: Record, tops: np.ndarray, found: float, ticks: float) -> float:
    """Return how many silences of at least this surprise and length are expected a day."""
    days = series["seen"] / BUCKETS_A_DAY
    poisson = BUCKETS_A_DAY * series["active"] / series["seen"] * np.exp(-found)
    tail = np.inf
    if series["silences"] < _MANY:
        tail = np.exp((tops[0, 0] - found) / _scale(series, tops)) / days
    if series["silences"] >= _FEWEST:
        tail = min(tail, _beyond(series, tops[0], found), _beyond(series, tops[1], ticks))
    return float(max(poisson, tail))


@compiled
def wanted(series: Record, tops: np.ndarray, false_a_day: float) -> tuple[float, float, float]:
    """Return what a silence must reach: a surprise; and a tail's surprise, or a tail's ticks."""
    days = series["seen"] / BUCKETS_A_DAY
    poisson = max(np.log(BUCKETS_A_DAY * series["active"] / series["seen"] / false_a_day), 1.0)
    tail, ticks = np.inf, np.inf
    if series["silences"] < _MANY:
        tail = tops[0, 0] - _scale(series, tops) * np.log(days * false_a_day)
    if series["silences"] >= _FEWEST:
        tail = min(tail, _quantile(series, tops[0], false_a_day))
        ticks = _quantile(series, tops[1], false_a_day)
    return poisson, tail, ticks


@compiled
def missed_for(series: Record, surprise_wanted: float) -> float:
    """Return how many events must be missed for a surprise: the inverse of `surprise`."""
    least = surprise_wanted * dispersion(series)
    events, lately, expected = series["events"], series["lately"], series["lately_expected"]
    long_run = events * np.expm1(min(least / events, _MOST))
    return float(max(long_run, expected * np.expm1(min(least / lately, _MOST))))


@compiled
def _scale(series: Record, tops: np.ndarray) -> float:
    """How much larger the surprises of the few silences were than those of a Poisson process."""
    return float(max(1.0, tops[0, 0] / (np.log1p(series["active"]) + 2.0)))


@compiled
def _beyond(series: Record, largest: np.ndarray, found: float) -> float:
    """The predictive number of silences a day beyond a value, by the largest values so far."""
    days = series["seen"] / BUCKETS_A_DAY
    least, count = np.inf, _FEWEST
    while count <= min(series["silences"], TOPS):
        over = largest[:count].sum() - count * largest[count - 1] + _SPREAD
        more = max(found - largest[count - 1], 0.0)
        least = min(least, count / days * (1.0 + more / over) ** (1 - count))
        count = _next(count)
    return float(least)


@compiled
def _quantile(series: Record, largest: np.ndarray, a_day: float) -> float:
    """The inverse of `_beyond`."""
    days = series["seen"] / BUCKETS_A_DAY
    least, count = np.inf, _FEWEST
    while count <= min(series["silences"], TOPS):
        over = largest[:count].sum() - count * largest[count - 1] + _SPREAD
        factor = (count / days / a_day) ** (1.0 / (count - 1)) - 1.0
        least = min(least, largest[count - 1] + over * max(factor, 0.0))
        count = _next(count)
    return float(least)


@compiled
def _next(count: int) -> int:
    """2, 3, 4, 8, 16, 32."""
    return count + 1 if count < 4 else 2 * count


@compiled
def remember(series: Record, tops: np.ndarray, days: np.ndarray, found: float, ticks: float, day: int) -> None:
    """Put the surprise and the ticks of a silence that ended among the largest, with the day on which it ended."""
    series["silences"] = min(series["silences"] + 1, TOPS)
    _put(tops[0], days[0], found, day)
    _put(tops[1], days[1], ticks, day)


@compiled
def _put(largest: np.ndarray, days: np.ndarray, value: float, day: int) -> None:
    at = TOPS - 1
    if value <= largest[at]:
        return
    while at > 0 and largest[at - 1] < value:
        largest[at], days[at] = largest[at - 1], days[at - 1]
        at -= 1
    largest[at], days[at] = value, day % 256


@compiled
def forget(series: Record, tops: np.ndarray, days: np.ndarray, today: int) -> None:
    """Remove silences that ended too many days ago. They are not faded: equal ones must stay equal."""
    series["silences"] = min(_forget(tops[0], days[0], today), _forget(tops[1], days[1], today))


@compiled
def _forget(largest: np.ndarray, days: np.ndarray, today: int) -> int:
    kept = 0
    for at in range(TOPS):
        if largest[at] > 0 and (today - days[at]) % 256 <= TOP_DAYS:
            largest[kept], days[kept] = largest[at], days[at]
            kept += 1
    largest[kept:] = 0
    return kept


@compiled
def fade_recent(series: Record, count: float, expected: float) -> None:
    """Add events to the recent ones, and let as many older ones fade."""
    fade = np.exp(-count / (_RECENT_EVENTS * max(1.0, dispersion(series))))
    series["lately"] = series["lately"] * fade + count
    series["lately_expected"] = series["lately_expected"] * fade + expected
