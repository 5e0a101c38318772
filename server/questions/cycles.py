"""Cycles: services that call each other in a circle, so that each can be what slows all of them down.

Invariant: every service that is on some cycle is in exactly one group, and every group shows one cycle: the shortest
through its first service. A service that calls itself and is on no other cycle is a group of its own.

Groups are strongly connected components, from rustworkx. There may be exponentially many cycles in one; they are not
listed.
"""

from __future__ import annotations

from dataclasses import dataclass

import rustworkx as rx

from chronotope.server.questions.pairs import Pairs


@dataclass(frozen=True, slots=True)
class Cycle:
    """A group by rising code, and one cycle: a service is called by the one before it, the first by the last."""

    services: list[int]
    example: list[int]


def cycles(pairs: Pairs) -> list[Cycle]:
    """Return the groups, the largest first, then by their first service."""
    callees = pairs.callees()
    groups = [sorted(group) for group in rx.strongly_connected_components(pairs.graph()) if len(group) > 1]
    grouped = {service for group in groups for service in group}
    found = [Cycle(group, _shortest(group, callees)) for group in groups]
    found += [Cycle([service], [service]) for service in pairs.own.tolist() if service not in grouped]
    return sorted(found, key=lambda cycle: (-len(cycle.services), cycle.services[0]))


def _shortest(group: list[int], callees: list[list[int]]) -> list[int]:
    """Return the shortest cycle through a group's first service; of several, the one found first by rising codes."""
    first, members = group[0], set(group)
    before: dict[int, int] = {}
    front = [first]
    while front:
        further = []
        for at in front:
            for one in callees[at]:
                if one == first:
                    return _back(before, at, first)
                if one in members and one not in before:
                    before[one] = at
                    further.append(one)
        front = further
    raise AssertionError("a strongly connected group has a cycle through each of its services")


def _back(before: dict[int, int], at: int, first: int) -> list[int]:
    steps = [at]
    while at != first:
        at = before[at]
        steps.append(at)
    return steps[::-1]
