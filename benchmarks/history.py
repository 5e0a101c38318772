"""A history of any length written straight into the level tables, whose every number can be computed again.

Invariant: levels agree with each other, and `History.calls` gives from a formula what a right answer says. In a minute
60 % of the edges are active, with 120 to 720 calls. The finest level covers the last day only; histograms by the minute
the last two days, and by ten seconds the last six hours (a question reads those of its own minutes, however many others
there are).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store

END_S = 1_767_225_600  # 2026-01-01T00:00:00Z
DAY_S = 86_400
MINUTE_LATENCY_S = 2 * DAY_S
TEN_SECONDS_LATENCY_S = DAY_S // 4
PROTOCOLS = ("grpc", "http", "kafka", "postgresql", "redis")
WEIGHTS = (1, 2, 4, 8, 10, 6, 4, 2, 2, 1)  # of 40 calls, how many lie in each of ten neighbouring latency buckets
FIRST_BUCKET = 60
_SPREAD = 40  # edges differ in their first bucket by up to this
_ONE_BLOCK = {"min_insert_block_size_rows": 20_000_000, "min_insert_block_size_bytes": 8_000_000_000}
_STEP_EDGE = 1_000_003


@dataclass(frozen=True, slots=True)
class History:
    """`edges` edges over `days` days before END_S, in the store at `path`."""

    path: Path
    edges: int
    days: int

    @property
    def url(self) -> str:
        """Address of the store."""
        return f"chdb://{self.path}"

    @property
    def start_s(self) -> int:
        """When it begins, Unix seconds."""
        return END_S - self.days * DAY_S

    def calls(self, start_s: int, end_s: int, edges: np.ndarray | None = None) -> np.ndarray:
        """Return the calls of each edge (by default all) in [start, end), whole minutes, int64[E]."""
        edge = (np.arange(self.edges) if edges is None else edges).astype(np.uint64)
        total = np.zeros(len(edge), np.int64)
        for minute in range(start_s // 60, end_s // 60):
            mixed = int_hash64(np.uint64(minute * _STEP_EDGE) + edge)
            calls = 120 * (1 + (mixed >> np.uint64(8)) % np.uint64(6)).astype(np.int64)
            total += np.where(mixed % np.uint64(10) < 6, calls, 0)
        return total

    def first_bucket(self, edge: int) -> int:
        """Return the latency bucket at which an edge's ten begin; half of its calls are in it and the next four."""
        return FIRST_BUCKET + edge % _SPREAD

    def ends(self, edge: int) -> tuple[str, str, str]:
        """Return source, target and protocol of an edge."""
        services = self.edges // 5
        source, way = divmod(edge, 5)
        target = (source + 1 + way * 37) % services
        return f"shop/service-{source:05}", f"shop/service-{target:05}", PROTOCOLS[way]


def int_hash64(values: np.ndarray) -> np.ndarray:
    """Return ClickHouse's intHash64 of uint64[N]."""
    mixed = values ^ np.uint64(0x4CF2D2BAAE6DA887)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    return mixed ^ (mixed >> np.uint64(33))


def ensure_history(folder: Path, edges: int, days: int, tell: Callable[[str], None]) -> History:
    """Return a history in a folder; it is made when it is not there, which takes minutes for the big ones."""
    history = History(folder / f"history-{edges}x{days}", edges, days)
    done = folder / f"history-{edges}x{days}.complete"
    if done.exists():
        return history
    folder.mkdir(parents=True, exist_ok=True)
    with Store.open(history.url) as store:
        migrate(store)
        for day in range(days):
            _write_day(store, history, history.start_s + day * DAY_S)
            tell(f"history of {edges} edges: day {day + 1} of {days}")
        _write_finest(store)
        _write_directory(store, history)
    done.touch()
    return history


_KEYS = "source, target, protocol, layer, view, reporter, via"
_SUMS = "calls, errors, latency_us_sum, latency_count"
_HISTOGRAM = (
    f"CAST((arrayMap(i -> toUInt8({FIRST_BUCKET} + (intDiv(latency_us_sum, latency_count) - 1000) % {_SPREAD} + i), "
    f"range({len(WEIGHTS)})), arrayMap(w -> toInt64(w * intDiv(calls, {sum(WEIGHTS)})), {list(WEIGHTS)})), "
    "'Map(UInt8, Int64)')"
)
_DAY = "time >= toDateTime({day:UInt32}, 'UTC') AND time < toDateTime({day:UInt32} + 86400, 'UTC')"

_MINUTES = f"""
INSERT INTO edges_1m (time, {_KEYS}, {_SUMS})
WITH
    number % {{edges:UInt64}} AS edge,
    intDiv({{day:UInt64}}, 60) + intDiv(number, {{edges:UInt64}}) AS minute,
    intHash64(minute * {_STEP_EDGE} + edge) AS mixed,
    intDiv(edge, 5) AS from,
    (from + 1 + (edge % 5) * 37) % intDiv({{edges:UInt64}}, 5) AS to,
    toInt64(120 * (1 + bitShiftRight(mixed, 8) % 6)) AS made
SELECT
    toDateTime(minute * 60, 'UTC'),
    concat('shop/service-', leftPad(toString(from), 5, '0')), concat('shop/service-', leftPad(toString(to), 5, '0')),
    {list(PROTOCOLS)}[edge % 5 + 1], 'trace', 0, 2, '',
    made, toInt64(3 * (bitShiftRight(mixed, 16) % 3)), made * toInt64(1000 + edge), made
FROM numbers({{edges:UInt64}} * 1440)
WHERE mixed % 10 < 6
"""
_HOURS = f"""
INSERT INTO {{table}} (time, {_KEYS}, {_SUMS})
SELECT {{start}}(time) AS time, {_KEYS}, sum(calls), sum(errors), sum(latency_us_sum), sum(latency_count)
FROM {{source}} WHERE {_DAY} GROUP BY time, {_KEYS}
"""
_LATENCY = f"""
INSERT INTO latency_{{level}} (time, {_KEYS}, latency)
SELECT time, {_KEYS}, {_HISTOGRAM} FROM edges_{{level}} WHERE {_DAY}
"""
# A minute's calls lie in every other ten seconds of it, a third in each.
_TENS = f"""
INSERT INTO edges_10s (time, {_KEYS}, {_SUMS})
SELECT
    time + 10 * slice AS time, {_KEYS},
    intDiv(calls, 3), intDiv(errors, 3), intDiv(latency_us_sum, 3), intDiv(latency_count, 3)
FROM edges_1m
ARRAY JOIN [0, 2, 4] AS slice
WHERE time >= toDateTime({{hour:UInt32}}, 'UTC') AND time < toDateTime({{hour:UInt32}} + 3600, 'UTC')
"""
_TENS_LATENCY = f"""
INSERT INTO latency_10s (time, {_KEYS}, latency)
SELECT time, {_KEYS}, {_HISTOGRAM} FROM edges_10s
WHERE time >= toDateTime({{hour:UInt32}}, 'UTC') AND time < toDateTime({{hour:UInt32}} + 3600, 'UTC')
"""
_LIFETIMES = """
INSERT INTO edge_lifetimes
SELECT source, target, protocol, layer,
    lower(hex(substring(SHA256(concat(source, '\\0', target, '\\0', protocol)), 1, 8))),
    toDateTime64({start:UInt32}, 3, 'UTC'), toDateTime64({end:UInt32}, 3, 'UTC')
FROM edges_1d GROUP BY source, target, protocol, layer
"""
_SERVICES = """
INSERT INTO services
SELECT end, 'service', 'trace', toDateTime64({start:UInt32}, 3, 'UTC'), toDateTime64({end:UInt32}, 3, 'UTC')
FROM edges_1d ARRAY JOIN [toString(source), toString(target)] AS end GROUP BY end
"""


def _run(store: Store, sql: str, **parameters: int) -> None:
    settings = ", ".join(f"{name} = {value}" for name, value in _ONE_BLOCK.items())
    store.command(f"{sql}\nSETTINGS {settings}", parameters)


def _write_day(store: Store, history: History, day: int) -> None:
    _run(store, _MINUTES, edges=history.edges, day=day)
    for table, start, source in (
        ("edges_1h", "toStartOfHour", "edges_1m"),
        ("edge_hours", "toStartOfHour", "edges_1h"),
        ("edges_1d", "toStartOfDay", "edges_1h"),
    ):
        _run(store, _HOURS.replace("{table}", table).replace("{start}", start).replace("{source}", source), day=day)
    for level in ("1m", "1h", "1d") if day >= END_S - MINUTE_LATENCY_S else ("1h", "1d"):
        _run(store, _LATENCY.replace("{level}", level), day=day)


def _write_finest(store: Store) -> None:
    for hour in range(END_S - DAY_S, END_S, 3600):
        _run(store, _TENS, hour=hour)
        if hour >= END_S - TEN_SECONDS_LATENCY_S:
            _run(store, _TENS_LATENCY, hour=hour)


def _write_directory(store: Store, history: History) -> None:
    """Write what is known of edges and services, and merge all: a merge would disturb what is measured later."""
    _run(store, _LIFETIMES, start=history.start_s, end=END_S)
    _run(store, _SERVICES, start=history.start_s, end=END_S)
    for level in ("10s", "1m", "1h", "1d"):
        for kind in ("edges", "latency"):
            store.command(f"OPTIMIZE TABLE {kind}_{level} FINAL")
    for table in ("edge_hours", "edge_lifetimes", "services"):
        store.command(f"OPTIMIZE TABLE {table} FINAL")
