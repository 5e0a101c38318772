from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.ingest.flows.attribution import Attribution, unowned_kind
from chronotope.ingest.flows.rows import CLIENT, FLOW, SERVER, FlowVocabulary
from chronotope.ingest.identity.owners import Identities, Ownership

ADDRESSES = ["10.0.0.1", "10.0.0.2", "2001:db8::1", "8.8.8.8"]
claims = st.builds(
    lambda address, service, port, begin, length: Ownership(address, service, port, "service", begin, begin + length),
    st.sampled_from([*ADDRESSES, "10.0.0.0/24"]),
    st.sampled_from(["one", "two", "three"]),
    st.sampled_from([0, 0, 80]),
    st.integers(0, 40),
    st.integers(1, 30),
)
flows = st.tuples(
    st.integers(0, 50), st.integers(0, 3), st.integers(0, 3), st.sampled_from([80, 443]), st.integers(-1, 1),
    st.sampled_from([CLIENT, SERVER]),
)  # fmt: skip


def rows_of(seen: list[tuple[int, ...]]) -> np.ndarray:
    rows = np.zeros(len(seen), FLOW)
    for row, values in zip(rows, seen, strict=True):
        for name, value in zip(("start", "client", "server", "server_port", "own", "observer"), values, strict=True):
            row[name] = value
    return rows


def owner(owners: Identities, address: str, port: int, at_ms: int) -> str:
    """Who owned one address at one instant, asked for it alone."""
    (service,) = owners.owners([address], np.array([port]), np.array([at_ms])).service
    return owners.services[service].id if service >= 0 else address


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(claims, max_size=6), min_size=1, max_size=2), st.lists(st.lists(flows), max_size=4))
def test_rows_are_attributed_as_each_would_be_alone(known, batches) -> None:
    """Over several batches and snapshots of owners: what was asked before is answered by the snapshot in use."""
    vocabulary = FlowVocabulary()
    for name in ("mine", "yours"):
        vocabulary.names.code(name)
    for address in ADDRESSES:
        vocabulary.addresses.code(address)
    attribute, snapshots = Attribution(vocabulary, {}), [Identities(some) for some in known]
    for number, batch in enumerate(batches):
        owners, rows = snapshots[number // 2 % len(snapshots)], rows_of(batch)
        attribute(rows, owners)
        for row in rows:
            own = vocabulary.names[row["own"]]
            ends = (("source", "client", 0, CLIENT), ("target", "server", int(row["server_port"]), SERVER))
            for node, address, port, observer in ends:
                alone = owner(owners, ADDRESSES[row[address]], port, int(row["start"]))
                expected = own if row["observer"] == observer and row["own"] >= 0 else alone
                assert vocabulary.nodes[row[node]] == expected


def test_addresses_that_nobody_owns_are_told_apart_by_where_they_are() -> None:
    assert [unowned_kind(address) for address in ("10.0.0.1", "8.8.8.8", "127.0.0.1%host")] == [
        "unknown",
        "external",
        "unknown",
    ]
