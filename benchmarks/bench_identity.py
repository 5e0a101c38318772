"""Attribution: who owned these addresses then? Answers are checked against the way the claims were made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chronotope.ingest.identity.owners import Identities, Ownership

RANGES, LOOKUPS = 100_000, 1_000_000
MINUTE_MS = 60_000
START_MS = 1_700_000_000_000


def claims(ranges: int, addresses: int) -> list[Ownership]:
    """Every address changes its owner each minute, `ranges / addresses` times."""
    return [
        Ownership(
            f"10.{a >> 16}.{a >> 8 & 255}.{a & 255}",
            f"shop/service-{(a * 31 + turn) % 1000}",
            valid_from_ms=START_MS + turn * MINUTE_MS,
            valid_to_ms=START_MS + (turn + 1) * MINUTE_MS,
        )
        for a in range(addresses)
        for turn in range(ranges // addresses)
    ]


def flows(owned: list[Ownership], addresses: int, lookups: int) -> tuple[list[str], np.ndarray, np.ndarray, list[str]]:
    """Random places and instants, client ports like a kernel gives them, and the right owners."""
    random = np.random.default_rng(7)
    turns = len(owned) // addresses
    pick = random.integers(0, len(owned), lookups)
    times = START_MS + (pick % turns) * MINUTE_MS + random.integers(0, MINUTE_MS, lookups)
    texts = [owned[row].address for row in pick.tolist()]
    return texts, random.integers(32768, 60999, lookups), times, [owned[row].service for row in pick.tolist()]


@pytest.mark.parametrize("addresses", [1_000, 100_000])
def test_owners_of_flows(benchmark: Any, addresses: int) -> None:
    owned = claims(RANGES, addresses)
    identities = Identities(owned)
    texts, ports, times, expected = flows(owned, addresses, LOOKUPS)
    answer = benchmark.pedantic(identities.owners, (texts, ports, times), rounds=3, warmup_rounds=1)
    assert [identities.services[code].id for code in answer.service.tolist()] == expected
    benchmark.extra_info["lookups_per_s"] = round(LOOKUPS / benchmark.stats.stats.median)


@pytest.mark.parametrize("addresses", [1_000, 100_000])
def test_snapshot_of_claims(benchmark: Any, addresses: int) -> None:
    owned = claims(RANGES, addresses)
    identities = benchmark.pedantic(Identities, (owned,), rounds=3)
    assert len(identities) == addresses
