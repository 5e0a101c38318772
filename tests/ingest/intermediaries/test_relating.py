from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chronotope.ingest.intermediaries.relating import RELATIONS, relations

LOGITS = arrays(float, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.floats(-20, 20, width=32))


@given(LOGITS, st.randoms())
def test_order_of_callers_and_targets_changes_nothing(logit: np.ndarray, chance) -> None:  # type: ignore[no-untyped-def]
    callers, targets = (chance.sample(range(size), size) for size in logit.shape)
    inbound, outbound = np.arange(1.0, len(logit) + 1), np.arange(1.0, logit.shape[1] + 1)
    there = logit > -5
    plain = relations(logit, there, inbound, outbound)
    mixed = relations(logit[callers][:, targets], there[callers][:, targets], inbound[callers], outbound[targets])
    np.testing.assert_allclose(mixed, plain[callers][:, targets], rtol=1e-9, atol=1e-9)
    assert plain.shape == (*logit.shape, len(RELATIONS))
    assert np.isfinite(plain).all()


@given(LOGITS)
def test_best_other_is_the_greatest_of_the_rest(logit: np.ndarray) -> None:
    found = relations(logit, np.ones(logit.shape, bool), np.ones(len(logit)), np.ones(logit.shape[1]))
    of_caller = found[..., RELATIONS.index("best other of caller")]
    for (row, column), best in np.ndenumerate(of_caller):
        assert best == np.delete(logit[row], column).max(initial=-6.0 if logit.shape[1] < 2 else -np.inf)
