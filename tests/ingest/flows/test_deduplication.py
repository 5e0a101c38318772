from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.ingest.flows.deduplication import REACH, settle, settle_beside
from chronotope.ingest.flows.rows import CLIENT, FLOW, SERVER, UNSETTLED
from chronotope.schema.observations import BUCKET_S

DECIDED = ["caller", "callee", "callee_port", "counts"]
# Few addresses, ports and services: most rows have to do with each other, behind address translation too.
ends = st.fixed_dictionaries(
    {
        "bucket": st.integers(0, 6),
        "client": st.integers(0, 1),
        "server": st.integers(2, 4),
        "own": st.integers(-1, 1),
        "source": st.integers(3, 4),
        "owned": st.integers(0, 3),
        "client_port": st.sampled_from([0, 40000, 40001]),
        "server_port": st.sampled_from([80, 443]),
        "observer": st.sampled_from([CLIENT, SERVER]),
    }
)


def attributed(seen: list[dict[str, int]]) -> np.ndarray:
    rows = np.zeros(len(seen), FLOW)
    for row, one in zip(rows, seen, strict=True):
        for name, value in one.items():
            row[name] = value
    rows["bucket"] *= BUCKET_S
    said = (rows["observer"] == SERVER) & (rows["own"] >= 0)
    rows["target"] = np.where(said, rows["own"], rows["server"] // 2)
    rows["callee"] = UNSETTLED
    return rows


def settled(rows: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    settle(rows)
    return rows


@settings(max_examples=300, deadline=None)
@given(st.lists(ends, max_size=12), ends)
def test_a_row_changes_nothing_beyond_its_reach(seen, one) -> None:
    rows = attributed([*seen, one])
    with_it, without = settled(rows)[:-1], settled(rows[:-1])
    changed = np.any([with_it[name] != without[name] for name in DECIDED], axis=0)
    assert np.all(np.abs(rows["bucket"][:-1] - rows["bucket"][-1])[changed] <= REACH * BUCKET_S)
    assert not (changed & (rows["client"][:-1] != rows["client"][-1])).any()


@settings(max_examples=300, deadline=None)
@given(st.lists(ends, max_size=8), st.lists(ends, max_size=8), st.lists(ends, min_size=1, max_size=8), st.booleans())
def test_rows_that_come_one_after_another_are_settled_as_all_at_once(first, second, third, known_already) -> None:
    """Held in two pieces, settled before or only read back: what changed is what all of them together give."""
    rows = attributed([*first, *second, *third])
    expected, cut = settled(rows), len(first) + len(second)
    before = settled(rows[:cut])
    held = (before if known_already else rows[:cut]).copy()
    new = rows[cut:].copy()
    clients, everywhere = np.isin(np.arange(5), new["client"]), np.arange(7) * BUCKET_S
    changed = settle_beside(new, [held[: len(first)], held[len(first) :]], clients, everywhere)
    assert (new == expected[cut:]).all()
    changed.put_back()
    concerned = clients[held["client"]]
    assert (held[concerned] == expected[:cut][concerned]).all()
    different = concerned & (before != expected[:cut])
    told = sorted(zip(changed.before.tolist(), changed.after.tolist(), strict=True))
    if known_already:
        assert told == sorted(zip(before[different].tolist(), expected[:cut][different].tolist(), strict=True))
    else:  # all that was not settled is told, also what stays
        assert told == sorted(zip(before[concerned].tolist(), expected[:cut][concerned].tolist(), strict=True))
