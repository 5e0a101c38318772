from __future__ import annotations

import ipaddress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.ingest.identity.owners import CONFIGURED, REPORTED, Identities, Ownership, Reason
from chronotope.schema.errors import InvalidValue

ADDRESSES = ["10.0.0.1", "10.0.0.2", "::ffff:10.0.0.1", "fd00::1", "fd00:0::1", "Orders.example", "orders.example."]
NETWORKS = ["10.0.0.0/8", "10.0.0.0/31", "10.0.0.1/32", "0.0.0.0/0", "::/0", "::ffff:10.0.0.0/104", "fd00::/16"]
ASKED = [*ADDRESSES, "10.0.0.3", "fd00::2", "2001:db8::1", "nobody.example", "", "0.0.0.0", "::"]

claims = st.builds(
    Ownership,
    st.sampled_from(ADDRESSES + NETWORKS),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([0, 80, 443]),
    st.just("service"),
    st.integers(0, 12),
    st.integers(0, 12),
    st.just(False),
    st.sampled_from([REPORTED, CONFIGURED]),
)
questions = st.tuples(st.sampled_from(ASKED), st.sampled_from([0, 80, 81]), st.integers(-1, 13))


def network_of(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | str:
    """The slow model's place: a network in IPv4 wherever IPv6 only maps it, or a host name."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return text.lower().rstrip(".")
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped:
            return ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}")
    return network


def covers(claimed: object, asked: object) -> bool:
    if isinstance(claimed, str) or isinstance(asked, str) or type(claimed) is not type(asked):
        return claimed == asked
    return asked.subnet_of(claimed)  # type: ignore[attr-defined]


def slow_owner(rows: list[Ownership], address: str, port: int, time_ms: int) -> tuple[str | None, Reason]:
    """Ask every claim in turn; keep the most precise ones."""
    if address in ("", "0.0.0.0", "::"):
        return None, Reason.UNOWNED
    asked = network_of(address)
    fit = [r for r in rows if r.port in (0, port) and covers(network_of(r.address), asked)]
    now = [r for r in fit if r.valid_from_ms <= time_ms < r.valid_to_ms]
    if not now:
        return None, Reason.NOT_THEN if fit else Reason.UNOWNED

    def precision(row: Ownership) -> tuple[int, bool, bool]:
        place = network_of(row.address)
        return (0 if isinstance(place, str) else place.prefixlen, row.port != 0, row.rank == REPORTED)

    best = max(map(precision, now))
    services = {row.service for row in now if precision(row) == best}
    return (services.pop(), Reason.OWNED) if len(services) == 1 else (None, Reason.AMBIGUOUS)


def ask(identities: Identities, asked: list[tuple[str, int, int]]) -> list[tuple[str | None, Reason]]:
    ports, times = (np.array([row[column] for row in asked], np.int64) for column in (1, 2))
    answer = identities.owners([row[0] for row in asked], ports, times)
    services = [identities.services[code].id if code >= 0 else None for code in answer.service.tolist()]
    return list(zip(services, map(Reason, answer.reason.tolist()), strict=True))


@settings(deadline=None)
@given(st.lists(claims, max_size=25), st.lists(questions, max_size=40))
def test_owners_are_those_of_a_linear_scan(rows: list[Ownership], asked: list[tuple[str, int, int]]) -> None:
    assert ask(Identities(rows), asked) == [slow_owner(rows, *question) for question in asked]


@settings(deadline=None)
@given(st.lists(claims, max_size=12), st.lists(questions, min_size=1, max_size=12), st.randoms())
def test_order_of_claims_changes_no_answer(rows: list[Ownership], asked: list[tuple[str, int, int]], random) -> None:
    shuffled = rows[:]
    random.shuffle(shuffled)
    assert ask(Identities(rows), asked) == ask(Identities(shuffled), asked)


def test_address_that_changes_hands_belongs_to_each_in_its_time() -> None:
    identities = Identities(
        [
            Ownership("10.0.0.9", "shop/old", 0, "service", 0, 1000),
            Ownership("10.0.0.9", "shop/new", 0, "service", 1000, 2000),
        ]
    )
    assert [owner for owner, _ in ask(identities, [("10.0.0.9", 0, t) for t in (999, 1000, 1999, 2000)])] == [
        "shop/old",
        "shop/new",
        "shop/new",
        None,
    ]


def test_two_owners_in_one_instant_are_no_coin_toss() -> None:
    rows = [Ownership("10.0.0.9", "a", 0, "service", 0, 1000), Ownership("10.0.0.9", "b", 0, "service", 900, 2000)]
    asked = [("10.0.0.9", 0, 899), ("10.0.0.9", 0, 900), ("10.0.0.9", 0, 1000)]
    assert ask(Identities([*rows, Ownership("10.0.0.0/8", "net")]), asked) == [
        ("a", Reason.OWNED),
        (None, Reason.AMBIGUOUS),
        ("b", Reason.OWNED),
    ]


def test_overlapping_heartbeats_of_one_service_are_one_claim() -> None:
    rows = [Ownership("10.0.0.9", "a", 0, "service", start, start + 300) for start in range(0, 1000, 100)]
    assert ask(Identities(rows), [("10.0.0.9", 5, t) for t in (0, 250, 999, 1199, 1200)]) == [
        *[("a", Reason.OWNED)] * 4,
        (None, Reason.NOT_THEN),
    ]


def test_configured_claims_hold_for_ever() -> None:
    identities = Identities([Ownership("10.0.0.0/8", "static")])
    assert ask(identities, [("10.9.9.9", 0, t) for t in (-(2**61), 0, 2**61)]) == [("static", Reason.OWNED)] * 3


def test_rows_without_an_address_have_no_owner() -> None:
    identities = Identities([Ownership("10.0.0.1", "a")])
    answer = identities.owners(["10.0.0.1"], np.zeros(3, int), np.zeros(3, np.int64), np.array([0, -1, 0]))
    assert answer.service.tolist() == [0, -1, 0]
    assert answer.reason.tolist() == [Reason.OWNED, Reason.UNOWNED, Reason.OWNED]


def test_kind_of_a_service_is_the_most_specific_one_claimed() -> None:
    rows = [Ownership("10.0.0.1", "pg"), Ownership("10.0.0.2", "pg", kind="database"), Ownership("10.0.0.3", "pg")]
    assert Identities(rows).services == [("pg", "database")]


def test_no_claims_own_nothing() -> None:
    assert ask(Identities(), [("10.0.0.1", 80, 0)]) == [(None, Reason.UNOWNED)]


@pytest.mark.parametrize(
    "address", ["", "10.0.0.0/33", "fd00::/129", "shop/cart", "10.0.0.0/x", "0.0.0.0", "10.0.0.0/"]
)
def test_claim_on_no_place_is_refused(address: str) -> None:
    with pytest.raises(InvalidValue, match="address"):
        Identities([Ownership(address, "a")])
