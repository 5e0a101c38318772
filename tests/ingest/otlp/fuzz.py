"""Compare the scanner with upb on random requests: `NUMBA_BOUNDSCHECK=1 python -m tests.ingest.otlp.fuzz SEED ROUNDS`.

A test runs it so, with a compiler cache of its own: a read outside an array raises then.
"""

from __future__ import annotations

import sys
from random import Random

import numpy as np

from chronotope.ingest.columns.bytes import read_fixed32
from chronotope.ingest.otlp.decode import OtlpDecoder
from chronotope.ingest.spans.columns import Vocabulary
from chronotope.schema.errors import InvalidPayload
from tests.ingest.otlp.reference import parse, resolved, rows_of
from tests.ingest.otlp.requests import make_body


def check(decoder: OtlpDecoder, vocabulary: Vocabulary, body: bytes) -> bool:
    """Assert that scanner and oracle agree on a body; return whether they accept it."""
    request = parse(body)
    try:
        batch = decoder.decode(body)
    except InvalidPayload:
        assert request is None, body.hex()
        return False
    assert request is not None, body.hex()
    rows, skipped = rows_of(request)
    assert resolved(batch, vocabulary) == rows, body.hex()
    assert batch.skipped == skipped, body.hex()
    assert batch.read == sum(len(s.spans) for r in request.resource_spans for s in r.scope_spans), body.hex()
    return True


def fuzz(seed: int, rounds: int) -> tuple[int, int]:
    """Return how many bodies were accepted and refused, by both."""
    vocabulary = Vocabulary()
    decoder = OtlpDecoder(vocabulary)
    accepted = 0
    random = Random(seed)
    for _ in range(rounds):
        accepted += check(decoder, vocabulary, make_body(random))
    return accepted, rounds - accepted


def require_bounds_checks() -> None:
    """Assert that a read outside an array raises in this process."""
    try:
        read_fixed32(np.zeros(2, np.uint8), np.uint64(0))
    except IndexError:
        return
    raise AssertionError("numba compiled without bounds checks")


if __name__ == "__main__":
    require_bounds_checks()
    print(*fuzz(int(sys.argv[1]), int(sys.argv[2])))
