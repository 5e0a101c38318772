from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.ingest.records.spreading import BUCKET_MS, LONGEST_MS, spread
from chronotope.ingest.requests.fields import MAX_COUNT

records = st.lists(
    st.tuples(st.integers(0, 4_000_000_000_000), st.integers(1, LONGEST_MS // 50), st.integers(0, MAX_COUNT - 1)),
    max_size=8,
)


def columns(rows: list[tuple[int, int, int]]) -> np.ndarray:
    return np.array(rows, np.int64).reshape(-1, 3).T


@settings(deadline=None)
@given(records)
def test_shares_are_whole_not_negative_and_add_up(rows: list[tuple[int, int, int]]) -> None:
    start, length, total = columns(rows)
    over = spread(start, length)
    shares = over.share(total)
    summed = [0] * len(rows)
    for record, share in zip(over.record.tolist(), shares.tolist(), strict=True):
        assert share >= 0
        summed[record] += share
    assert summed == total.tolist()


@settings(deadline=None)
@given(records)
def test_shares_are_proportional_to_time_up_to_one(rows: list[tuple[int, int, int]]) -> None:
    start, length, total = columns(rows)
    over = spread(start, length)
    shares = over.share(total).tolist()
    for share, record, begin, end in zip(
        shares, *(c.tolist() for c in (over.record, over.begin, over.end)), strict=True
    ):
        # In whole numbers, since a float has no digit left for so big a total.
        assert abs(share * int(length[record]) - int(total[record]) * (end - begin)) < length[record]


@settings(deadline=None)
@given(records)
def test_pieces_tile_the_interval_within_their_buckets(rows: list[tuple[int, int, int]]) -> None:
    start, length, _ = columns(rows)
    over = spread(start, length)
    assert (over.bucket * 1000 <= over.first_at).all()
    assert (over.last_at < over.bucket * 1000 + BUCKET_MS).all()
    assert (over.end > over.begin).all()
    for record in range(len(rows)):
        begin, end = over.begin[over.record == record], over.end[over.record == record]
        assert begin[0] == 0
        assert end[-1] == length[record]
        assert (begin[1:] == end[:-1]).all()


def test_longest_interval_with_the_largest_count_does_not_overflow() -> None:
    over = spread(np.array([5]), np.array([LONGEST_MS]))
    shares = over.share(np.array([MAX_COUNT - 1]))
    assert (len(shares), int(shares.sum()), int(shares.min()) > 0) == (8641, MAX_COUNT - 1, True)
