"""How often `culprits` names the service in which a fault was injected: a real day of Online Boutique (Nezha).

    python -m benchmarks.bench_culprits [--folder DIR] [--day 2022-08-22] [--window 3m] [--mesh]

Spans go in as `chronotope import --input spans` reads them; each fault is asked with `/api/v1/culprits`, its window
ending `--window` after the injection, against the default baseline. Ranks are beside those of two plain methods over
the same edges: the callee of the call whose mean latency or error ratio rose most, and a random walk by call counts
(MonitorRank without its correlations). A service that a method does not list has no rank and counts 0. `--mesh` adds
the mesh's medians by minute as layer `ipc`: they cover faults around which no spans were kept.

Another system needs its own `--folder` with `spans_DAY.parquet` and the tar of faults; nothing here knows its names.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import networkx as nx

from chronotope.ingest.files.spans.formats import read_batches
from chronotope.ingest.identity.owners import Identities
from chronotope.ingest.spans.columns import Vocabulary
from chronotope.ingest.spans.pairer import Pairer
from chronotope.ingest.spans.peers import resolve_peers
from chronotope.schema.observations import BUCKET_S, REPORTER_SOURCE, REPORTER_TARGET, observation_table
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store
from chronotope.schema.times import parse_duration
from chronotope.server.answers.culprits import CulpritsParameters, answer_culprits
from chronotope.server.answers.parameters import GraphParameters
from chronotope.server.culprits.records import CulpritsAnswer
from chronotope.server.evidence.settings import Settings
from chronotope.server.graph.answer import Graph
from chronotope.server.graph.reading import read_graph

NOW_MS = 2_000_000_000_000
REPORTED = "paper (Nezha, FSE 2023; repository README): AS@1 92.9 %, AS@3 96.4 %, on the 56 faults of two days"
DIFFERENT = "its input also has logs and the pods' CPU, memory and network metrics, and a normal window of its own"


@dataclass(frozen=True)
class Fault:
    """An injected fault: when (Unix seconds), where, and of what type."""

    at: int
    service: str
    type: str


def read_faults(files: dict[str, str], services: set[str]) -> list[Fault]:
    """Return the faults of a list, in order of time; a pod is of the service whose name it begins with."""
    (listed,) = (text for name, text in files.items() if name.endswith("fault_list.json"))
    found = []
    for fault in (fault for hour in json.loads(listed).values() for fault in hour):
        pod = fault["inject_pod"]
        owner = max((name for name in services if pod.startswith(f"{name}-")), key=len, default=pod)
        found.append(Fault(int(fault["inject_timestamp"]), owner, fault["inject_type"]))
    return sorted(found, key=lambda fault: fault.at)


def unpack(path: Path) -> dict[str, str]:
    """Return the text files of a `.tar.zst`."""
    plain = subprocess.run(["zstd", "-dc", str(path)], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        members = [member for member in archive if member.isfile()]
        return {one.name: archive.extractfile(one).read().decode() for one in members}  # type: ignore[union-attr]


def load_spans(store: Store, path: Path) -> None:
    """Import a day's spans as the command does."""
    vocabulary = Vocabulary()
    pairer = Pairer(store, vocabulary)
    for batch in read_batches(path, "spans", vocabulary):
        resolve_peers(batch, vocabulary, Identities(), {})
        pairer.accept(batch)


def load_mesh(store: Store, files: dict[str, str]) -> None:
    """Insert the mesh's median latency of each edge and minute, as both ends saw it, as one call of layer ipc."""
    rows: list[dict[str, Any]] = []
    for name, reporter in (("source_50.csv", REPORTER_SOURCE), ("destination_50.csv", REPORTER_TARGET)):
        (text,) = (text for path, text in files.items() if path.endswith(name))
        for line in csv.DictReader(io.StringIO(text)):
            rows += _mesh_rows(line, reporter)
    store.insert("observations", observation_table({name: [row[name] for row in rows] for name in rows[0]}))


def _mesh_rows(line: dict[str, str], reporter: int) -> Iterator[dict[str, Any]]:
    for edge, value in line.items():
        if edge in ("time", "timestamp") or value in ("", "NaN"):
            continue
        source, _, target = edge.partition("_")
        yield {
            "time": int(line["timestamp"]) // BUCKET_S * BUCKET_S, "layer": "ipc", "source": source, "target": target,
            "protocol": "grpc", "reporter": reporter, "calls": 1, "latency_us_sum": int(float(value) * 1e6),
            "latency_count": 1,
        }  # fmt: skip


def rank_by_chronotope(store: Store, at: int, window: str) -> tuple[list[str], CulpritsAnswer]:
    """Return the services that the product names, and its answer."""
    parameters = CulpritsParameters.model_validate({"at": str(at), "window": window, "limit": 1000})
    answer = msgspec.json.decode(answer_culprits(store, Settings(), parameters, NOW_MS).body, type=CulpritsAnswer)
    return [one.service for one in answer.culprits], answer


def graphs(store: Store, answer: CulpritsAnswer) -> tuple[Graph, Graph]:
    """Return the graphs of the baseline and of the window, the same windows that the product compared."""
    found = []
    for window in (answer.baseline, answer.window):
        parameters = GraphParameters.model_validate({"from": window.from_, "to": window.to})
        found.append(read_graph(store, Settings(), parameters.question(NOW_MS), NOW_MS).graph)
    return found[0], found[1]


def rank_by_largest_change(before: Graph, after: Graph) -> list[str]:
    """Return callees by the largest factor by which mean latency, or rise of error ratio, of a call changed."""
    means = ({edge.id: _worst(edge) for edge in graph.edges} for graph in (before, after))
    was, now = means
    score: dict[str, float] = {}
    for edge in after.edges:
        if edge.id in was and min(was[edge.id][0], now[edge.id][0]) > 0:
            change = max(now[edge.id][0] / was[edge.id][0] - 1, now[edge.id][1] - was[edge.id][1])
            score[edge.target] = max(score.get(edge.target, 0.0), change)
    return sorted((name for name, value in score.items() if value > 0), key=lambda name: -score[name])


def _worst(edge: Any) -> tuple[float, float]:
    own = [one for one in (edge.evidence.trace, edge.evidence.ipc) if not isinstance(one, msgspec.UnsetType)]
    return max((one.latency_ms.mean or 0.0) for one in own), max((one.error_ratio or 0.0) for one in own)


def rank_by_random_walk(after: Graph) -> list[str]:
    """Return services by how often a walk along calls, in proportion to their number, comes to them."""
    walk = nx.DiGraph()
    for edge in after.edges:
        own = [one for one in (edge.evidence.trace, edge.evidence.ipc) if not isinstance(one, msgspec.UnsetType)]
        walk.add_edge(edge.source, edge.target, weight=max(one.calls for one in own))
    if not len(walk):
        return []
    score = nx.pagerank(walk, weight="weight")
    return sorted(score, key=lambda name: -score[name])


def rank_of(service: str, listed: list[str]) -> int | None:
    """Return the place of a service in a list, from 1."""
    return listed.index(service) + 1 if service in listed else None


def summary(ranks: Iterable[int | None]) -> str:
    """Return top-1, top-3 and mean reciprocal rank."""
    known = list(ranks)
    ones, threes = sum(rank == 1 for rank in known), sum(rank is not None and rank <= 3 for rank in known)
    mrr = sum(1 / rank for rank in known if rank) / len(known)
    return f"top-1 {ones:>2}/{len(known)} {ones / len(known):6.1%}   top-3 {threes / len(known):6.1%}   MRR {mrr:.3f}"


def main() -> None:
    """Print one line a fault, then the sums."""
    options = _options()
    with Store.open("chdb://memory") as store:
        migrate(store)
        load_spans(store, options.folder / f"spans_{options.day}.parquet")
        files = unpack(options.folder / f"metrics_faults_{options.day}.tar.zst")
        if options.mesh:
            load_mesh(store, files)
        services = {str(row[0]) for row in store.rows("SELECT service FROM services")}
        faults = read_faults(files, services)
        _print(store, faults, options.window)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--folder", type=Path, default=shared / "nezha_onlineboutique")
    parser.add_argument("--day", default="2022-08-22")
    parser.add_argument("--window", default="3m")
    parser.add_argument("--mesh", action="store_true")
    return parser.parse_args()


def _print(store: Store, faults: list[Fault], window: str) -> None:
    ranks: list[tuple[int | None, ...]] = []
    print(f"{'injected':20}{'service':24}{'fault':18}{'rank':>5}{'change':>8}{'walk':>6}  probability, first culprit")
    for fault in faults:
        at = datetime.fromtimestamp(fault.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        listed, answer = rank_by_chronotope(store, fault.at + parse_duration(window), window)
        before, after = graphs(store, answer)
        if not after.edges:
            print(f"{at:20}{fault.service:24}{fault.type:18}  nothing was recorded around it")
            continue
        lists = listed, rank_by_largest_change(before, after), rank_by_random_walk(after)
        own = tuple(rank_of(fault.service, one) for one in lists)
        ranks.append(own)
        first = answer.culprits[0] if answer.culprits else None
        said = f"{first.probability:6.1%} {first.service}" if first else "none"
        print(f"{at:20}{fault.service:24}{fault.type:18}{own[0] or '-':>5}{own[1] or '-':>8}{own[2] or '-':>6}  {said}")
    print()
    print(f"quiet windows, of 50 s up to each injection: {_alarms(store, faults)}")
    for name, column in zip(("chronotope", "largest change", "random walk"), zip(*ranks, strict=True), strict=True):
        print(f"{name:20}{summary(column)}")
    print(f"{REPORTED};\n{DIFFERENT}")


def _alarms(store: Store, faults: list[Fault]) -> str:
    """How many windows without a fault are called degraded, of those with traffic."""
    said = [rank_by_chronotope(store, fault.at // BUCKET_S * BUCKET_S, "50s")[1] for fault in faults]
    asked = [answer for answer in said if answer.tests]
    return f"{sum(answer.degradation for answer in asked)} of {len(asked)} called a degradation"


if __name__ == "__main__":
    main()
