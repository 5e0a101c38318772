"""Which of the host's addresses are claimed, for whom."""

from __future__ import annotations

from chronotope.ingest.agent.claims import Claim, Listener, claim_table, claims
from chronotope.ingest.hosts.naming import NOBODY, Owner

WEB, DB = Owner("web", "shop"), Owner("db", "", "db-1")
ADDRESSES = {1: {"10.0.0.5", "fd00::5"}, 2: {"10.9.0.1"}}


def test_a_namespace_of_one_service_is_its_address():
    """A container: whatever comes from or goes to its address is the service's."""
    found = claims([Listener(2, "0.0.0.0", 80, False, WEB)], ADDRESSES, {2: {WEB, WEB._replace(instance="other")}})
    assert found == {Claim("10.9.0.1", 0, "web", "shop")}


def test_several_services_of_a_namespace_own_their_ports():
    listeners = [
        Listener(1, "0.0.0.0", 80, False, WEB),
        Listener(1, "::", 443, True, WEB),
        Listener(1, "::", 444, False, WEB),
        Listener(1, "10.0.0.5", 5432, False, DB),
        Listener(1, "127.0.0.1", 9000, False, DB),
        Listener(1, "0.0.0.0", 22, False, NOBODY),
    ]
    assert claims(listeners, ADDRESSES, {1: {WEB, DB, NOBODY}}) == {
        Claim("10.0.0.5", 80, "web", "shop"),
        Claim("10.0.0.5", 443, "web", "shop"),
        Claim("fd00::5", 443, "web", "shop"),
        Claim("fd00::5", 444, "web", "shop"),
        Claim("10.0.0.5", 5432, "db", ""),
    }


def test_who_is_not_known_claims_nothing():
    assert claims([Listener(2, "0.0.0.0", 22, False, NOBODY)], ADDRESSES, {2: {NOBODY}}) == frozenset()


def test_claims_are_heartbeats():
    table = claim_table({Claim("10.0.0.5", 80, "web", "shop"), Claim("10.0.0.5", 0, "db", "")}, 1_700_000_000_000)
    assert table.column("port").to_pylist() == [None, 80]
    assert "to" not in table.column_names
    assert claim_table([], 0).num_rows == 0
