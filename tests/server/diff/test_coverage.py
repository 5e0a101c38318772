"""Diffs of stores of their own: layers that did not see both windows alike, flows, long windows, the command."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from tests.server.traffic import AFTER, ASKED, BEFORE, DAY, NOW_MS, T0, client_of, rows_of, statuses

from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.cli.main import main
from chronotope.server.evidence.settings import Settings


def test_empty_store_has_no_difference(store: Store) -> None:
    answer = create_app(store, Settings(clock=lambda: NOW_MS)).test_client().get("/api/v1/diff?include=unchanged").json
    assert answer["edges"] == answer["nodes"] == answer["coverage"] == []


def test_edge_seen_once_is_removed_but_its_silence_says_little(store: Store) -> None:
    once = rows_of("trace", "a", "b", BEFORE, 0)
    once["calls"][3] = 1
    client = client_of(store, once, rows_of("trace", "a", "c", AFTER, 5), rows_of("trace", "a", "c", BEFORE, 5))
    (edge,) = client.get(ASKED).json["edges"]
    assert edge["status"] == "removed"
    assert edge["p_value"] == pytest.approx(0.5)


def test_layer_that_fell_silent_is_coverage_and_not_many_removed_edges(store: Store) -> None:
    edges = [rows_of("trace", "a", f"b{at}", start, 20) for at in range(6) for start in (BEFORE, AFTER)]
    flows = [rows_of("network", "a", f"b{at}", BEFORE, 20) for at in range(6)]
    flows += [rows_of("network", "x", "y", BEFORE, 20)]
    answer = client_of(store, *edges, *flows).get(f"{ASKED}&include=unchanged").json
    assert set(statuses(answer).values()) == {"unchanged"}
    (coverage,) = answer["coverage"]
    assert coverage["layer"] == "network"
    assert coverage["before"] > 0
    assert coverage["after"] == 0
    assert "down" in coverage["explanation"]
    assert answer["summary"]["uncovered"] == 1
    assert [edge.get("uncovered") for edge in answer["edges"] if edge["source"] == "x"] == [["network"]]


def test_layer_that_appeared_is_coverage_and_not_many_added_edges(store: Store) -> None:
    edges = [rows_of("trace", "a", f"b{at}", start, 20) for at in range(6) for start in (BEFORE, AFTER)]
    flows = [rows_of("network", "x", f"y{at}", AFTER, 20) for at in range(3)]
    answer = client_of(store, *edges, *flows).get(ASKED).json
    assert answer["edges"] == []
    assert [one["layer"] for one in answer["coverage"]] == ["network"]


def test_sampling_that_was_turned_is_coverage_and_errors_still_count(store: Store) -> None:
    edges = [rows_of("trace", "a", f"b{at}", BEFORE, 200, errors=0.01) for at in range(9)]
    edges += [rows_of("trace", "a", f"b{at}", AFTER, 20, errors=0.01) for at in range(8)]
    edges += [rows_of("trace", "a", "b8", AFTER, 20, errors=0.5)]
    rare = rows_of("trace", "a", "rare", BEFORE, 0)
    rare["calls"][5] = rare["calls"][25] = 3
    gone = rows_of("trace", "a", "gone", BEFORE, 500)
    answer = client_of(store, *edges, rare, gone).get(ASKED).json
    (coverage,) = answer["coverage"]
    assert "moved together by a factor of 0.1" in coverage["explanation"]
    assert statuses(answer) == {("a", "b8"): "changed", ("a", "gone"): "removed"}
    (change,) = next(edge for edge in answer["edges"] if edge["target"] == "b8")["changes"]
    assert change["measure"] == "error_ratio"


def test_flows_are_compared_by_connections_and_bytes(store: Store) -> None:
    more = rows_of("network", "a", "c", AFTER, 50)
    more["bytes_sent"] = [5 * value for value in more["bytes_sent"]]
    steady = [rows_of("network", "a", "b", start, 50) for start in (BEFORE, AFTER)]
    answer = client_of(store, *steady, rows_of("network", "a", "c", BEFORE, 50), more).get(ASKED).json
    (edge,) = answer["edges"]
    assert [change["measure"] for change in edge["changes"]] == ["bytes_per_second"]


def test_longer_windows_are_read_from_coarser_levels(store: Store) -> None:
    """An hour is cut into ten of six minutes; the sums of the sub-windows are the window's."""
    parts = [rows_of("trace", "a", "b", BEFORE + 300 * at, 10) for at in range(12)]
    parts += [rows_of("trace", "a", "b", AFTER + 300 * at, 30) for at in range(12)]
    answer = client_of(store, *parts).get(f"/api/v1/diff?before=-1d&after={AFTER + 3600}&window=1h").json
    assert answer["edges"][0]["changes"][0]["effect"] == pytest.approx(3, rel=0.1)


def test_command_prints_what_the_route_answers(store: Store) -> None:
    client = client_of(
        store, rows_of("trace", "a", "[red]b", BEFORE, 50), rows_of("trace", "a", "[red]b", AFTER, 200),
        rows_of("trace", "a", "c", BEFORE, 5), rows_of("trace", "a", "d", AFTER, 5),
    )  # fmt: skip
    asked = ["diff", "--store", "chdb://memory", "--before", "-1d", "--after", str(T0 + DAY + 300)]
    said = CliRunner().invoke(main, [*asked, "--format", "json"], prog_name="chronotope")
    assert said.exit_code == 0, said.output
    assert json.loads(said.output) == client.get(ASKED).json
    shown = CliRunner().invoke(main, asked, prog_name="chronotope").output
    assert "[red]b" in shown
    assert "calls_per_second" in shown
    assert "/s → nothing" in shown
    assert "nothing → " in shown
    assert "1 added, 1 removed, 1 changed, 0 unchanged" in shown
