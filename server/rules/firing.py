"""From conditions that hold to alerts that fire: `for`, since when, until when. Pure.

Invariant: an alert fires at the first step at which its condition has held for `for` seconds without a break. It is
resolved at the first step at which the condition does not hold. `transitions`, step by step, and `intervals`, over
columns, agree.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, slots=True)
class State:
    """One alert: since when its condition holds, since when it fires, when it was resolved; Unix ms, 0: not."""

    since_ms: int
    fired_ms: int = 0
    resolved_ms: int = 0

    @property
    def firing(self) -> bool:
        """Whether it fires now."""
        return self.fired_ms > 0 and not self.resolved_ms


def transitions(states: Mapping[str, State], holding: Collection[str], hold_s: int, at_ms: int) -> dict[str, State]:
    """Return the new states of one rule's alerts that change at an instant, by fingerprint.

    Args:
        states: the latest of each alert.
        holding: alerts whose condition holds at the instant.
        hold_s: the rule's `for`, seconds.
        at_ms: the instant, Unix milliseconds.
    """
    changed: dict[str, State] = {}
    for key in holding:
        state = states.get(key)
        if state is None or state.resolved_ms:
            state = State(at_ms)
            changed[key] = state
        if not state.fired_ms and at_ms - state.since_ms >= hold_s * 1000:
            changed[key] = replace(state, fired_ms=at_ms)
    for key, state in states.items():
        if key not in holding and not state.resolved_ms:
            changed[key] = replace(state, resolved_ms=at_ms)
    return changed


def intervals(holds: np.ndarray, hold_steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return when alerts fire: row, first step, and the step at which they are resolved (T: not yet), int64[N] each.

    Args:
        holds: bool[K, T].
        hold_steps: steps after the first at which the condition must still hold.
    """
    edge = np.zeros((len(holds), 1), np.int8)
    change = np.diff(np.concatenate([edge, holds.astype(np.int8), edge], axis=1), axis=1)
    row, begin = np.nonzero(change == 1)
    _, end = np.nonzero(change == -1)
    long = end - begin > hold_steps
    return row[long], begin[long] + hold_steps, end[long]
