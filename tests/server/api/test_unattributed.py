"""Addresses that nobody owns: ranked by traffic, each with why, and the same by route and command."""

from __future__ import annotations

import json

from tests.ingest.flows.building import T0_S, empty, flow, open_writer, sent

from chronotope.ingest.identity.claimants import claimed
from chronotope.ingest.identity.known import KnownIdentities
from chronotope.ingest.identity.owners import Ownership
from chronotope.ingest.records.identities import claims_table
from chronotope.schema.storage.store import Store
from chronotope.server.answers.unattributed import UnattributedParameters, answer_unattributed
from chronotope.server.evidence.settings import Settings
from chronotope.server.running.owners import explain_by

T0_MS = T0_S * 1000


def claim(address: str, service: str, begin_s: int, end_s: int) -> Ownership:
    return Ownership(address, service, 0, "service", T0_MS + begin_s * 1000, T0_MS + end_s * 1000)


def test_addresses_come_by_traffic_with_why_they_have_no_owner(store: Store) -> None:
    empty(store)
    writer, vocabulary = open_writer(store)
    claims = [claim("10.0.0.2", "then", 500, 600), claim("10.0.0.3", "a", -9, 99), claim("10.0.0.3", "b", -9, 99)]
    writer.claim(claims_table(claims), "claims")
    writer.accept(
        [
            sent(
                vocabulary,
                flow("10.0.0.1", "10.0.0.2", 8080, service="web", bytes_sent=10),
                flow("10.0.0.1", "10.0.0.3", 5432, service="web", bytes_sent=5000),
                flow("10.0.0.1", "192.0.2.1", 443, service="web", bytes_sent=70, host="h"),
            )
        ]
    )
    asked = UnattributedParameters.model_validate({"from": str(T0_S - 60), "to": str(T0_S + 60), "limit": 2})
    explain = explain_by(KnownIdentities(claims))
    body = answer_unattributed(store, Settings(), asked, (T0_S + 90) * 1000, explain).body

    answer = json.loads(body)
    found = [(each["address"], each["reason"], each["ports"], each["callers"]) for each in answer["addresses"]]
    assert found == [
        ("10.0.0.3", "ambiguous", [5432], ["web"]),
        ("192.0.2.1", "unowned", [443], ["web"]),
    ]
    assert answer["total"] == 3
    assert {each["service"] for each in answer["addresses"][0]["claims"]} == {"a", "b"}


def test_claims_of_networks_and_other_times_explain_an_address() -> None:
    known = KnownIdentities([claim("10.0.0.0/8", "net", 0, 10), claim("10.0.0.2", "then", 50, 60)])
    both, net, none = claimed(known, ["10.0.0.2", "::ffff:10.9.9.9", "fd00::1"], T0_MS + 20_000, T0_MS + 30_000)
    assert (both.reason, [one.service for one in both.claims]) == ("not_then", ["then", "net"])
    assert (net.reason, [one.service for one in net.claims]) == ("not_then", ["net"])
    assert (none.reason, list(none.claims)) == ("unowned", [])
