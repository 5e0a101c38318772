"""Hops as columns: traffic from one service to another over time. Input and output of the resolution.

A resolved hop has passed intermediaries, which its route lists in `via`.

Invariant: a hop's measures are never negative. What is moved from one hop to others adds up to what it lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CONNECTIONS, BYTES_SENT, BYTES_RECEIVED = 0, 2, 3  # of flows.rows.MEASURES
# Protocols that name how something is sent, not what is spoken.
GENERIC = frozenset({"tcp", "tls", "udp", "unknown", ""})


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """The identity of a hop: source, target, protocol, passed intermediaries, and called port (0: unknown)."""

    source: str
    target: str
    protocol: str = "tcp"
    via: tuple[str, ...] = ()
    port: int = 0

    @property
    def datagrams(self) -> bool:
        """Whether it is UDP: what came in by UDP does not go out by TCP."""
        return self.protocol == "udp"


@dataclass(slots=True)
class Hops:
    """L hops over T buckets.

    Attributes:
        routes: one a hop.
        measures: int64[L, M, T], M of flows.rows.MEASURES.
        confidence: float64[L], the probability that the hop is real; 1 for what was seen.
        inferred: bool[L], whether it was estimated from volumes.
    """

    routes: list[Route]
    measures: np.ndarray
    confidence: np.ndarray
    inferred: np.ndarray

    def __len__(self) -> int:
        return len(self.routes)


def observed_hops(routes: list[Route], measures: np.ndarray) -> Hops:
    """Return hops as they were observed, int64[L, M, T]."""
    return Hops(routes, measures, np.ones(len(routes)), np.zeros(len(routes), np.bool_))


def join_hops(first: Hops, second: Hops) -> Hops:
    """Return the hops of both."""
    return Hops(
        [*first.routes, *second.routes],
        np.concatenate([first.measures, second.measures]),
        np.concatenate([first.confidence, second.confidence]),
        np.concatenate([first.inferred, second.inferred]),
    )


def split(whole: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Split whole numbers by shares so that the parts of shares that make 1 add up to the whole.

    Args:
        whole: int64[M, T], not negative.
        shares: float64[P, T]; for each bucket at most 1 together.

    Returns:
        int64[P, M, T].
    """
    upto = np.minimum(np.cumsum(shares, axis=0), 1.0)
    upto[upto > 1 - 1e-9] = 1.0
    reached = np.floor(whole[None] * upto[:, None] + 1e-9).astype(np.int64)
    parts: np.ndarray = np.diff(np.minimum(reached, whole[None]), axis=0, prepend=0)
    return parts
