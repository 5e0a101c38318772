from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from chronotope.ingest.identity.claims import MAX_HEARTBEATS
from chronotope.ingest.identity.known import KnownIdentities, configured_claims, read_claims
from chronotope.ingest.identity.owners import ALWAYS_FROM_MS, ALWAYS_TO_MS, CONFIGURED, Identities, Ownership
from chronotope.ingest.records.identities import claims_of, identities_blueprint
from chronotope.schema.config.config import IdentityEntry
from chronotope.schema.storage.location import parse_store_url
from chronotope.schema.storage.store import Store

NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z
URL = "/api/v1/identities"
POD: dict[str, Any] = {"address": "10.0.0.7", "service": "cart", "namespace": "shop"}


def client_of(store: Store, known: KnownIdentities) -> FlaskClient:
    def write(table: pa.Table, token: str) -> None:
        store.insert("identities", table, token)
        known.add(claims_of(table))

    app = Flask("test")
    app.testing = True
    app.register_blueprint(identities_blueprint(write, clock=lambda: NOW, max_body_bytes=1 << 20))
    return app.test_client()


@pytest.fixture
def known() -> KnownIdentities:
    return KnownIdentities()


@pytest.fixture
def client(store: Store, known: KnownIdentities) -> FlaskClient:
    return client_of(store, known)


def post(client: FlaskClient, *records: object) -> TestResponse:
    body = "\n".join(json.dumps(record) for record in records)
    return client.post(URL, data=body, content_type="application/x-ndjson")


def test_heartbeat_owns_its_address_for_the_lifetime(client: FlaskClient, store: Store, known: KnownIdentities) -> None:
    assert post(client, POD).get_json() == {"accepted": 1, "rejected": 0, "errors": []}
    claim = Ownership("10.0.0.7", "shop/cart", 0, "service", NOW, NOW + 300_000, heartbeat=True)
    assert read_claims(store) == [claim]
    owned = known.snapshot().owners(
        ["10.0.0.7"] * 2, pa.array([80, 80]).to_numpy(), pa.array([NOW, NOW + 300_000]).to_numpy()
    )
    assert owned.service.tolist() == [0, -1]


def test_range_with_everything_said_is_stored_as_said(client: FlaskClient, store: Store) -> None:
    said = {
        "address": "fd00::/16",
        "port": 5432,
        "service": "shop/pg",
        "kind": "database",
        "from": "2025-01-01T00:00:00Z",
        "to": NOW,
        "attributes": {"team": "data"},
    }
    assert post(client, said).status_code == 200
    assert read_claims(store) == [Ownership("fd00::/16", "shop/pg", 5432, "database", 1_735_689_600_000, NOW)]
    assert store.rows("SELECT attributes FROM identities") == [({"team": "data"},)]


def test_ranges_that_overlap_are_read_as_one_claim(client: FlaskClient, store: Store) -> None:
    said = [{**POD, "from": NOW + m * 60_000, "to": NOW + (m + 5) * 60_000} for m in (0, 1, 2, 7, 13, 14)]
    post(client, *said[::-1])
    post(client, *said)
    assert [(c.valid_from_ms - NOW, c.valid_to_ms - NOW) for c in read_claims(store)] == [
        (0, 12 * 60_000),
        (13 * 60_000, 19 * 60_000),
    ]
    assert [c.valid_from_ms - NOW for c in read_claims(store, NOW + 12 * 60_000)] == [13 * 60_000]


def test_heartbeats_are_read_each_for_itself_and_once(client: FlaskClient, store: Store) -> None:
    """Where one owner's end is assumed and another begins is told from all of them."""
    heartbeats = [{**POD, "from": NOW + m * 60_000} for m in (0, 2, 1)]
    post(client, *heartbeats)
    post(client, *heartbeats)
    assert [c.valid_from_ms - NOW for c in read_claims(store)] == [0, 60_000, 120_000]


@pytest.mark.parametrize(
    ("record", "detail"),
    [
        ({**POD, "address": "10.0.0.0/33"}, "address '10.0.0.0/33' is not a network; use CIDR such as"),
        ({**POD, "address": ""}, "address '' is no place; use an IP address"),
        ({"service": "a"}, "missing required field address"),
        ({**POD, "service": ""}, "service is missing"),
        ({**POD, "port": 65536}, "port 65536: expected int <= 65535"),
        ({**POD, "kind": "pod"}, "kind 'pod' is not known; accepted: service, database"),
        ({**POD, "from": NOW + 1, "to": NOW + 1}, "`to` is not later than `from`"),
        ({**POD, "to": NOW - 1}, "`to` is not later than `from`"),
        ({**POD, "from": "yesterday"}, "from 'yesterday' is not a time; accepted: RFC 3339"),
    ],
)
def test_bad_identity_is_refused_for_what_is_wrong_with_it(record: object, detail: str) -> None:
    known = KnownIdentities()
    answer = post(client_of(Store(parse_store_url("chdb://memory")), known), record)
    assert (answer.status_code, answer.get_json()["rejected"]) == (422, 1)
    assert detail in answer.get_json()["errors"][0]["detail"]
    assert len(known.snapshot()) == 0


def test_arrow_columns_are_the_same_records(client: FlaskClient, store: Store) -> None:
    table = pa.table(
        {
            "address": ["10.0.0.1", "x/y", None, "10.0.0.2"],
            "service": ["a", "b", "c", "d"],
            "port": pa.array([80, 0, 0, None], pa.uint16()),
            "to": pa.array([NOW + 1000] * 4, pa.timestamp("ms", tz="UTC")),
        }
    )
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    answer = client.post(URL, data=stream.getvalue(), content_type="application/vnd.apache.arrow.stream").get_json()
    assert [error["line"] for error in answer["errors"]] == [2, 3]
    assert read_claims(store) == [
        Ownership("10.0.0.1", "a", 80, "service", NOW, NOW + 1000),
        Ownership("10.0.0.2", "d", 0, "service", NOW, NOW + 1000),
    ]


def test_configured_owners_hold_for_ever_unless_told() -> None:
    entries = [
        IdentityEntry.model_validate({"address": "10.0.0.0/8", "service": "legacy", "namespace": "shop"}),
        IdentityEntry.model_validate(
            {"address": "a", "service": "b", "from": "1970-01-01T00:00:00Z", "kind": "external"}
        ),
    ]
    assert configured_claims(entries) == [
        Ownership("10.0.0.0/8", "shop/legacy", 0, "service", ALWAYS_FROM_MS, ALWAYS_TO_MS, rank=CONFIGURED),
        Ownership("a", "b", 0, "external", 0, ALWAYS_TO_MS, rank=CONFIGURED),
    ]


def test_snapshot_is_made_anew_only_after_a_change() -> None:
    known = KnownIdentities([Ownership("a", "b", 0, "service", 0, 10)])
    before = known.snapshot()
    known.add([Ownership("a", "b", 0, "service", 0, 9)])
    assert known.snapshot() is before
    known.add([Ownership("a", "b", 0, "service", 0, 11)])
    assert known.snapshot() is not before


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y"]), st.integers(0, 9), st.integers(0, 9)), max_size=12
    )
)
@settings(deadline=None)
def test_claims_that_were_joined_answer_like_all_of_them(rows: list[tuple[str, str, int, int]]) -> None:
    claims = [
        Ownership(address, service, 0, "service", begin, begin + length) for address, service, begin, length in rows
    ]
    known = KnownIdentities()
    for claim in claims:
        known.add([claim])
    times = np.tile(np.arange(-1, 20), 2)
    asked = (["a"] * 21 + ["b"] * 21, np.zeros(42, np.int64), times)
    named = [
        [snapshot.services[code].id if code >= 0 else "" for code in snapshot.owners(*asked).service.tolist()]
        for snapshot in (known.snapshot(), Identities(claims))
    ]
    assert named[0] == named[1]


def test_heartbeats_of_a_day_take_little_memory_and_are_one_span() -> None:
    known = KnownIdentities()
    for half_minute in range(2880):
        known.add(
            [
                Ownership(
                    "10.0.0.7", "a", 0, "service", half_minute * 30_000, half_minute * 30_000 + 300_000, heartbeat=True
                )
            ]
        )
    (claims,) = known._claims.values()
    assert len(claims.heartbeats["a"]) <= MAX_HEARTBEATS
    owned = known.snapshot().owners(
        ["10.0.0.7"] * 3, np.zeros(3, int), np.array([0, 1_000_000, 2879 * 30_000 + 299_999])
    )
    assert owned.service.tolist() == [0, 0, 0]


def test_a_snapshot_is_used_again_for_instants_that_a_heartbeat_does_not_change() -> None:
    known = KnownIdentities([Ownership("10.0.0.7", "a", 0, "service", 0, 300_000, heartbeat=True)])
    before = known.snapshot(10_000)
    changes = known.add([Ownership("10.0.0.7", "a", 0, "service", 30_000, 330_000, heartbeat=True)])
    assert [(change.begin_ms, change.end_ms) for change in changes.made] == [(300_000, 330_000)]
    assert known.snapshot(300_000) is before
    assert known.snapshot(300_001) is not before
