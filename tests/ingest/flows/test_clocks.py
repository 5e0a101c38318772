"""Hosts whose clocks differ by seconds: at the edges of an ownership one end sees a connection in it, the other not."""

from __future__ import annotations

import random

import pytest

from chronotope.ingest.identity.owners import Ownership
from chronotope.ingest.records.identities import claims_table
from chronotope.schema.config.config import Config
from chronotope.schema.storage.store import Store
from tests.e2e.live_capture import identities, read_truth
from tests.e2e.live_flows import flow_records
from tests.ingest.flows.building import T0_S, edges, empty, flow, open_writer, sent

SKEWS_S = (-3, -2, -1, 1, 2, 3)
PORT = {"client_port": 40000}
CALL, SEEN = flow("10.0.0.1", "10.0.0.2", 80, **PORT), flow("10.0.0.1", "10.0.0.2", 80, "server", 2, **PORT)


def owned(address: str, service: str, from_s: float, to_s: float) -> Ownership:
    begin, end = ((T0_S + at_s) * 1000 for at_s in (from_s, to_s))
    return Ownership(address, service, 0, "service", int(begin), int(end))


def shown(store: Store, claims: list[Ownership], *records: dict) -> set[tuple[str, str]]:
    """Pairs that are shown of what was told."""
    empty(store)
    writer, vocabulary = open_writer(store)
    writer.claim(claims_table(claims), "claims")
    writer.accept([sent(vocabulary, *records)])
    return edges(store)


def test_an_end_that_nobody_owned_by_the_clients_clock_is_who_the_other_end_says(store: Store) -> None:
    starting = [owned("10.0.0.1", "a", 1, 60), owned("10.0.0.2", "b", 1, 60)]
    assert shown(store, starting, CALL) == {("10.0.0.1", "10.0.0.2")}
    assert shown(store, starting, CALL, SEEN) == {("a", "b")}


def test_client_behind_address_translation_is_who_the_other_end_says(store: Store) -> None:
    starting = [owned("10.0.0.1", "a", 1, 60), owned("10.0.0.2", "b", 1, 60)]
    assert shown(store, starting, CALL | {"server_address": "10.96.0.1"}, SEEN) == {("a", "b")}


def test_an_owner_by_the_clients_clock_stays(store: Store) -> None:
    """Who is known needs no help, also when the other end says otherwise."""
    changing = [owned("10.0.0.1", "a", -9, 60), owned("10.0.0.2", "b", -9, 1), owned("10.0.0.2", "c", 1, 60)]
    assert shown(store, changing, CALL, SEEN) == {("a", "b")}


@pytest.mark.parametrize("other", [{"client_port": 40001}, {"client_port": 0}])
def test_another_connection_says_nothing_of_a_servers_address(store: Store, other: dict) -> None:
    """Before it changed hands it may have been anybody's, whoever had it for a connection two seconds later."""
    starting = [owned("10.0.0.1", "a", -9, 60), owned("10.0.0.2", "b", 1, 60)]
    assert ("a", "10.0.0.2") in shown(store, starting, CALL, SEEN | other)


def test_reports_that_do_not_agree_say_nothing(store: Store) -> None:
    changing = [owned("10.0.0.1", "a", -9, 60), owned("10.0.0.2", "b", 1, 3), owned("10.0.0.2", "c", 3, 60)]
    later = flow("10.0.0.1", "10.0.0.2", 80, "server", 4, **PORT)
    for seen in ([SEEN, later], [later, SEEN]):
        assert shown(store, changing, CALL, *seen) == {("a", "10.0.0.2")}


@pytest.mark.parametrize("seed", range(2))
def test_recorded_system_whose_clocks_differ_shows_no_unowned_address(store: Store, shared_data, seed: int) -> None:
    """Each host's clock is up to three seconds wrong, for its flows and for what it says of its address."""
    truth = read_truth(shared_data / "live_capture")
    skews, chance = {}, random.Random(seed)

    def moved(record: dict) -> dict:
        local = record[f"{record['observer']}_address"]
        skew_s = skews.setdefault(local, chance.choice(SKEWS_S))
        return record | {"start": record["start"] + skew_s, "end": record["end"] + skew_s}

    told = [moved(record) for record in flow_records(shared_data / "live_capture", truth["clock"])]
    virtual = {item["vip"].rpartition(":")[0] for item in truth["vips"]}
    claims = []
    for item in identities(truth, {}):
        if item["address"] not in virtual:
            begin, end = (item[at] + 1000 * skews.get(item["address"], 0) for at in ("from", "to"))
            claims.append(Ownership(item["address"], item["service"], 0, "service", begin, end))
    writer, vocabulary = open_writer(store, Config.model_validate({"telemetry": {"services": ["collector"]}}))
    writer.claim(claims_table(claims), "claims")
    writer.accept([sent(vocabulary, *told)])
    seen = [edge for edge in truth["edges"] if any(layer.startswith("flow") for layer in edge["visible_in"])]
    assert edges(store) == {(edge["source"], edge["target"]) for edge in seen if "collector" not in edge.values()}
