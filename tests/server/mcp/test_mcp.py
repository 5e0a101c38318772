"""The MCP server, driven by the SDK's own client over a real pipe, and the same questions from a notebook."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from mcp import Client, StdioServerParameters
from tests.server.conftest import T0

PREPARE = """
import sys
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store
from tests.server.conftest import T0
from tests.server.culprits.incidents import Fault, incident, write_traffic
with Store.open(sys.argv[1]) as store:
    migrate(store)
    write_traffic(store, *incident(T0, Fault("cart", own=5.0)))
"""
NOTEBOOK = """
import json, sys
from chronotope.server.notebook import Topology
topology, at = Topology(sys.argv[1]), int(sys.argv[2])
graph = topology.graph(at=at, window="5m", layers=["trace"])
edges = topology.edges(at=at, window="5m", measures="full")
culprits = topology.culprits(at=at, window="5m")
print(json.dumps({
    "graph": sorted([a, b, d["evidence"]["trace"]["calls"]] for a, b, d in graph.edges(data=True)),
    "kind": type(graph).__name__,
    "edges": sorted(zip(*(edges[name].to_pylist() for name in ("source", "target", "trace_calls")))),
    "names": edges.column_names,
    "callers": topology.blast_radius("rates", at=at, window="5m")["service"].to_pylist(),
    "paths": topology.paths("front", "bank", at=at, window="5m"),
    "culprit": [culprits["service"][0].as_py(), culprits["symptom"][0].as_py()],
    "steps": topology.timeline(from_=at - 300, to=at, step="1m").num_rows,
    "events": topology.events(from_=at - 300, to=at).num_rows,
    "services": topology.services(at=at)["id"].to_pylist(),
}))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store on disk with an incident: cart is slow in the five minutes before T0 + 600."""
    url = f"chdb://{tmp_path_factory.mktemp('mcp') / 'store'}"
    run(PREPARE, url)
    return url


def run(code: str, *arguments: str) -> str:
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(store: str, *calls: tuple[str, dict[str, Any]]) -> tuple[list[str], list[Any]]:
    """Start `chronotope mcp`, list its tools, and call some of them."""

    async def talk() -> tuple[list[str], list[Any]]:
        command = StdioServerParameters(
            command=sys.executable, args=["-m", "chronotope.server.cli", "mcp", "--store", store]
        )
        async with Client(command, read_timeout_seconds=60) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            return names, [await client.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(talk())


def test_a_program_finds_its_way_through_an_incident(store: str) -> None:
    at = {"at": str(T0 + 600), "window": "5m"}
    names, answers = ask(
        store,
        ("culprits", at),
        ("blast_radius", {"service": "cart", **at}),
        ("graph_at", {**at, "focus": "cart", "limit": 2}),
        ("diff", {"before": "-5m", "after": str(T0 + 600), "window": "5m"}),
        ("paths", {"source": "front", "target": "bank", **at}),
        ("events", {"from_": str(T0), "to": str(T0 + 600)}),
    )
    assert names == ["graph_at", "diff", "blast_radius", "paths", "culprits", "events"]
    assert not [answer for answer in answers if answer.is_error]
    culprits, radius, graph, diff, paths, events = (json.loads(answer.content[0].text) for answer in answers)
    assert culprits["culprits"][0]["service"] == "cart"
    assert culprits["culprits"][0]["because"][0].startswith("own time of cart rose")
    assert radius["callers"] == [{"service": "front", "hops": 1, "share_of_its_calls": pytest.approx(1 / 3, abs=0.01)}]
    assert len(graph["edges"]) == 2
    assert graph["of"] == {"services": 4, "edges": 3}
    assert diff["summary"]["unchanged"] == 7, "no edge came, went or has another rate"
    assert paths["paths"] == ["front → pay → bank"]
    assert events["of"]["earlier_exist"] is False
    assert all(len(answer.content[0].text) < 6000 for answer in answers), "small enough to read"


def test_what_cannot_be_answered_is_an_error_that_says_what_could(store: str) -> None:
    _, (unknown, wrong, empty) = ask(
        store,
        ("blast_radius", {"service": "nobody"}),
        ("graph_at", {"at": "yesterday"}),
        ("culprits", {"at": "2020-01-01T00:00:00Z"}),
    )
    assert unknown.is_error
    assert "'nobody' was never seen" in unknown.content[0].text
    assert wrong.is_error
    assert "yesterday" in wrong.content[0].text
    assert "nothing to compare" in json.loads(empty.content[0].text)["note"]


def test_a_notebook_gets_graphs_and_tables(store: str) -> None:
    found = json.loads(run(NOTEBOOK, store, str(T0 + 600)))
    assert found["kind"] == nx.MultiDiGraph.__name__
    assert found["graph"] == found["edges"]
    assert len(found["graph"]) == 7
    assert "trace_latency_ms_p95" in found["names"]
    assert found["callers"] == ["cart", "pay", "front"]
    assert found["paths"] == [["front", "pay", "bank"]]
    assert found["culprit"] == ["cart", "own_time"]
    assert (found["steps"], found["events"], len(found["services"])) == (5, 0, 7)


def test_without_a_source_the_command_says_what_to_give() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "chronotope.server.cli", "mcp"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "--store STORE" in done.stderr
