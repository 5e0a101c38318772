"""How right the diff is: `python -m benchmarks.diff_truth [FOLDER]` prints four tables.

1. Stationary traffic: the share of unchanged edges that are called changed, over many seeds, steady, bursty and
   correlated from one sub-window to the next.
2. Power: how many injected changes are found, by their size and the traffic.
3. Load that all edges share: both of these for the calls, with and without following it.
4. With FOLDER, real spans with injected faults (Nezha, 2022-08-22): how many edges of the faulted services are marked.

Five minutes in ten sub-windows a window; what is accepted is what the diff accepts, at its default significance.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from click.testing import CliRunner

from chronotope.schema.storage.store import Store
from chronotope.server.cli.main import main as chronotope
from chronotope.server.diff.shared_load import shared_rate_p
from chronotope.server.diff.significance import (
    DEFAULT_SIGNIFICANCE,
    MIN_SHARE,
    discoveries,
    latency_p,
    matters,
    mean_inflation,
    rate_p,
    share_inflation,
    share_p,
)

EDGES, SUB_WINDOWS, SEEDS = 2000, 10, 10
BUCKETS = 120
_MIDDLES = 1.1 ** np.arange(BUCKETS) / 1000
Window = tuple[np.ndarray, ...]
Verdict = tuple[np.ndarray, np.ndarray]  # p-values, and which edges are called changed


@dataclass(frozen=True, slots=True)
class Traffic:
    """Calls by sub-window: Poisson around `mean`, with a load that varies by `wobble` and decays by `memory`."""

    name: str
    mean: float
    wobble: float = 0.0
    memory: float = 0.0
    together: float = 0.0  # a wobble that is the same for all edges

    def load(self, random: np.random.Generator) -> np.ndarray:
        """A factor for each edge and sub-window, lognormal and autoregressive, of mean 1."""
        own = self._swing(random, EDGES, self.wobble)
        return own * self._swing(random, 1, self.together) if self.together else own

    def _swing(self, random: np.random.Generator, edges: int, wobble: float) -> np.ndarray:
        noise = random.normal(size=(edges, SUB_WINDOWS + 20))
        state = noise.copy()
        for at in range(1, state.shape[1]):
            state[:, at] = self.memory * state[:, at - 1] + np.sqrt(1 - self.memory**2) * noise[:, at]
        return np.asarray(np.exp(wobble * state[:, 20:] - wobble**2 / 2))

    def calls(self, random: np.random.Generator, factor: float | np.ndarray = 1.0) -> np.ndarray:
        return random.poisson(self.mean * factor * self.load(random)).astype(float)


def rates(traffic: Traffic, random: np.random.Generator, factor: float) -> Verdict:
    before, after = traffic.calls(random), traffic.calls(random, factor)
    sums = before.sum(1), after.sum(1)
    return _verdict(shared_rate_p(*sums, (before, after), 0.5), sums[0], sums[1])


def errors(traffic: Traffic, random: np.random.Generator, factor: float) -> Verdict:
    """One call in fifty fails; the ratio wobbles as the load does."""

    def window(ratio: float) -> Window:
        calls = traffic.calls(random)
        share = np.clip(ratio * traffic.load(random), 0, 1)
        return random.binomial(calls.astype(int), share).astype(float), calls

    one, other = window(0.02), window(0.02 * factor)
    hits, calls = (one[0], other[0]), (one[1], other[1])
    sums = tuple(own.sum(1) for own in hits), tuple(own.sum(1) for own in calls)
    shares = [np.divide(k, n, out=np.zeros(EDGES), where=n > 0) for k, n in zip(*sums, strict=True)]
    p = share_p((sums[0][0], sums[0][1]), (sums[1][0], sums[1][1]), share_inflation(hits, calls))
    return _verdict(np.where(sums[0][0] + sums[0][1] > 0, p, np.nan), shares[0], shares[1], MIN_SHARE)


def latencies(traffic: Traffic, random: np.random.Generator, factor: float) -> Verdict:
    """Lognormal, a standard deviation of 0.57; the sub-windows' medians wobble as the load does."""

    def window(shift: float) -> Window:
        calls = max(int(traffic.mean), 1)
        centre = 60 + np.log(shift * traffic.load(random))[:, :, None] / np.log(1.1)
        drawn = np.clip(np.round(random.normal(centre, 6, (EDGES, SUB_WINDOWS, calls))), 0, BUCKETS - 1).astype(int)
        dense = np.zeros((EDGES, BUCKETS))
        np.add.at(dense, (np.repeat(np.arange(EDGES), SUB_WINDOWS * calls), drawn.reshape(-1)), 1)
        return dense, _MIDDLES[drawn].sum(2), np.full((EDGES, SUB_WINDOWS), float(calls))

    one, other = window(1.0), window(factor)
    variance = tuple(
        own[0] @ _MIDDLES**2 / own[0].sum(1) - (own[0] @ _MIDDLES / own[0].sum(1)) ** 2 for own in (one, other)
    )
    inflation = mean_inflation((one[1], other[1]), (one[2], other[2]), (variance[0], variance[1]))
    middle = [_MIDDLES[(np.cumsum(own[0], 1) < own[0].sum(1)[:, None] / 2).sum(1)] for own in (one, other)]
    return _verdict(latency_p(one[0], other[0], inflation), middle[0], middle[1])


def _verdict(p: np.ndarray, before: np.ndarray, after: np.ndarray, least: float = 0.0) -> Verdict:
    return p, discoveries(p, DEFAULT_SIGNIFICANCE) & matters(before, after, least)


MEASURES: dict[str, Callable[[Traffic, np.random.Generator, float], Verdict]] = {
    "calls": rates, "error ratio": errors, "latency": latencies,
}  # fmt: skip
TRAFFICS = [
    Traffic("rare, steady", 0.3),
    Traffic("10 a sub-window, steady", 10),
    Traffic("100 a sub-window, steady", 100),
    Traffic("10 a sub-window, bursty", 10, 0.5),
    Traffic("100 a sub-window, bursty", 100, 0.5),
    Traffic("100 a sub-window, bursts last 2 sub-windows", 100, 0.5, 0.5),
    Traffic("100 a sub-window, bursts last 5 sub-windows", 100, 0.5, 0.8),
]


def no_change() -> Iterator[str]:
    """Nothing changed: share of p-values of at most 1 %, and of edges called changed."""
    yield f"| stationary traffic, {SEEDS} × {EDGES:,} edges | measure | p ≤ 0.01 | called changed |"
    yield "| --- | --- | --- | --- |"
    for traffic in TRAFFICS:
        for name, judge in MEASURES.items():
            found = [judge(traffic, np.random.default_rng(seed), 1.0) for seed in range(SEEDS)]
            p, changed = (np.concatenate([own[part] for own in found]) for part in (0, 1))
            tested = ~np.isnan(p)
            if tested.any():
                share = np.mean(p[tested] <= 0.01)
                yield f"| {traffic.name} | {name} | {share:.2%} | {changed.mean():.4%} |"


def power() -> Iterator[str]:
    """Every edge changes by a factor: the share that is called changed."""
    factors = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0)
    yield f"| changed by | measure | {' | '.join(f'× {factor:g}' for factor in factors)} |\n| --- | --- |{' --- |' * 6}"
    for traffic in TRAFFICS:
        for name, judge in MEASURES.items():
            shares = [judge(traffic, np.random.default_rng(7), factor)[1].mean() for factor in factors]
            yield f"| {traffic.name} | {name} | {' | '.join(f'{share:.1%}' for share in shares)} |"


def together() -> Iterator[str]:
    """All edges swing together, and one in ten changes: the share called changed of the others, and of these."""
    factors, swinging = (1.5, 2.0, 3.0), (
        Traffic("for 5 sub-windows", 100, 0.0, 0.8, 0.5),
        Traffic("for 5 sub-windows, 10 a sub-window", 10, 0.0, 0.8, 0.5),
        Traffic("for 5 sub-windows, and each by 20 % on its own", 100, 0.2, 0.8, 0.5),
        Traffic("from sub-window to sub-window", 100, 0.0, 0.0, 0.5),
    )  # fmt: skip
    yield f"| all swing by 50 % | followed | others | {' | '.join(f'× {factor:g}' for factor in factors)} |"
    yield "| --- | --- | --- | --- | --- | --- |"
    own = np.arange(EDGES) < EDGES // 10
    for traffic in swinging:
        for name, judge in (("no", rate_p), ("yes", shared_rate_p)):
            others, found = [], []
            for factor in factors:
                verdicts = [
                    _of_tenth(traffic, np.random.default_rng(seed), factor, own, judge) for seed in range(SEEDS)
                ]
                others.append(np.mean([verdict[~own].mean() for verdict in verdicts]))
                found.append(np.mean([verdict[own].mean() for verdict in verdicts]))
            yield f"| {traffic.name} | {name} | {max(others):.2%} | {' | '.join(f'{share:.1%}' for share in found)} |"


def _of_tenth(
    traffic: Traffic, random: np.random.Generator, factor: float, own: np.ndarray, judge: Callable[..., np.ndarray]
) -> np.ndarray:
    before, after = traffic.calls(random), traffic.calls(random, np.where(own, factor, 1.0)[:, None])
    sums = before.sum(1), after.sum(1)
    return _verdict(judge(*sums, (before, after), 0.5), *sums)[1]


def faults(folder: Path, store: str) -> Iterator[str]:
    """Real faults: the minute before against each of the two after; many minutes around faults were not recorded."""
    run("import", str(folder / "spans_2022-08-22.parquet"), "--input", "spans", "--store", store)
    found: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for fault in fault_list(folder):
        minute = int(fault["inject_timestamp"]) // 60 * 60
        edges: dict[tuple[str, str], bool] = {}  # seen in both windows, and whether it is marked
        for after in (minute + 120, minute + 180):
            for edge in differences(store, minute, after):
                ends = edge["source"], edge["target"]
                if edge["before"] and edge["after"]:
                    edges[ends] = edges.get(ends, False) or edge["status"] != "unchanged"
        service = fault["inject_pod"].rsplit("-", 2)[0]
        own = [marked for ends, marked in edges.items() if service in ends]
        others = [marked for ends, marked in edges.items() if service not in ends]
        found[fault["inject_type"]].append((len(own), sum(own), len(others), sum(others)))
    yield "| fault | injected | recorded before and after | with a mark on its service | its edges | other edges |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for kind, rows in sorted(found.items()):
        yield _fault_row(kind, rows)
    yield _fault_row("all", [row for rows in found.values() for row in rows])


def differences(store: str, before: int, after: int) -> list[dict[str, Any]]:
    """The edges of the minutes that end at two times, also unchanged ones."""
    window = ("--before", str(before), "--after", str(after), "--window", "1m")
    said = run("diff", "--store", store, *window, "--measures", "full", "--include", "unchanged", "--format", "json")
    edges: list[dict[str, Any]] = json.loads(said)["edges"]
    return edges


def _fault_row(kind: str, rows: list[tuple[int, ...]]) -> str:
    own, marked, others, beside = (sum(row[at] for row in rows) for at in range(4))
    recorded, hit = sum(row[0] > 0 for row in rows), sum(row[1] > 0 for row in rows)
    return f"| {kind} | {len(rows)} | {recorded} | {hit} | {marked} of {own} | {beside} of {others} |"


def fault_list(folder: Path) -> list[dict[str, Any]]:
    packed = (folder / "metrics_faults_2022-08-22.tar.zst").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(zstandard.ZstdDecompressor().stream_reader(packed).read())) as files:
        (name,) = (name for name in files.getnames() if name.endswith("fault_list.json"))
        hours = json.load(files.extractfile(name))  # type: ignore[arg-type]
    return [fault for faults in hours.values() for fault in faults]


def run(*arguments: str) -> str:
    done = CliRunner().invoke(chronotope, list(arguments), prog_name="chronotope", catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def main() -> None:
    tables = [no_change(), power(), together()]
    with Store.open("chdb://memory"):  # the commands share it for as long as it is open
        if len(sys.argv) > 1:
            tables.append(faults(Path(sys.argv[1]), "chdb://memory"))
        for table in tables:
            for line in table:
                print(line, flush=True)
            print()


if __name__ == "__main__":
    main()
