"""Two windows of five minutes, an hour apart, of which it is known what changed: what the diff is measured with.

Invariant: the same size gives the same traffic. Calls are Poisson, with 0.2 to 60 calls in ten seconds by edge. Of the
edges one in a hundred doubles its calls, one in 200 is new and one in 200 is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from chronotope.schema.observations import observation_table
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store

AFTER_END_S = 1_767_225_600  # 2026-01-01T00:00:00Z
APART_S, WINDOW_S = 3600, 300
_PROTOCOLS = ("grpc", "http", "kafka", "postgresql", "redis")
_GONE, _NEW = 0, 100  # of every 200 edges
_DOUBLED = 50  # of every 100


@dataclass(frozen=True, slots=True)
class TwoWindows:
    """`edges` edges in a store at `path`."""

    path: Path
    edges: int

    @property
    def url(self) -> str:
        """Address of the store."""
        return f"chdb://{self.path}"

    @property
    def query(self) -> str:
        """What is asked: the two windows."""
        return f"before=-{APART_S}s&after={AFTER_END_S}&window={WINDOW_S}s&limit=1000000"

    def of(self, kind: str) -> set[tuple[str, str]]:
        """Return the ends of the edges that are `gone`, `new` or `doubled`."""
        every, at = {"gone": (200, _GONE), "new": (200, _NEW), "doubled": (100, _DOUBLED)}[kind]
        sources, targets = _ends(self.edges)
        return {(sources[edge], targets[edge]) for edge in range(at, self.edges, every)}


def ensure_windows(folder: Path, edges: int, tell: Callable[[str], None]) -> TwoWindows:
    """Return the store in a folder; it is made when it is not there."""
    windows, done = TwoWindows(folder / f"windows-{edges}", edges), folder / f"windows-{edges}.complete"
    if done.exists():
        return windows
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(edges)
    means = np.exp(random.uniform(np.log(0.2), np.log(60), edges))
    with Store.open(windows.url) as store:
        migrate(store)
        for start, kind in ((AFTER_END_S - APART_S - WINDOW_S, _NEW), (AFTER_END_S - WINDOW_S, _GONE)):
            own = means.copy()
            own[kind::200] = 0
            if kind == _GONE:
                own[_DOUBLED::100] *= 2
            _write(store, start, own, random)
            tell(f"two windows of {edges} edges: one is written")
        for table in ("edges_10s", "edges_1m", "edge_lifetimes", "services"):
            store.command(f"OPTIMIZE TABLE {table} FINAL")
    done.touch()
    return windows


def _ends(edges: int) -> tuple[list[str], list[str]]:
    services = max(edges // 5, 1)
    source, way = np.divmod(np.arange(edges), 5)
    target = (source + 1 + way * 37) % services
    names = [f"shop/service-{at:05}" for at in range(services)]
    return [names[at] for at in source.tolist()], [names[at] for at in target.tolist()]


def _write(store: Store, start: int, means: np.ndarray, random: np.random.Generator) -> None:
    sources, targets = (pa.array(values) for values in _ends(len(means)))
    protocols = pa.array([_PROTOCOLS[at % 5] for at in range(len(means))])
    for at in range(WINDOW_S // 10):
        calls = random.poisson(means)
        rows = np.flatnonzero(calls)
        own = calls[rows]
        columns = {
            "time": np.full(len(rows), start + 10 * at),
            "layer": "trace",
            "source": sources.take(pa.array(rows)).to_pylist(),
            "target": targets.take(pa.array(rows)).to_pylist(),
            "protocol": protocols.take(pa.array(rows)).to_pylist(),
            "calls": own,
            "errors": random.binomial(own, 0.01),
            "latency_us_sum": own * 1000,
            "latency_count": own,
        }
        store.insert("observations", observation_table(columns))
