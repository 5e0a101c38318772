"""Addresses with traffic that nobody owns: parameters and answer of `/api/v1/unattributed`.

A person can then fix the busiest first. Invariant: the route and the command give the same answer, except for claims
that only a server's configuration makes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
from pydantic import Field

from chronotope.schema.storage.store import Store
from chronotope.schema.times import EARLIEST_MS, LATEST_MS, format_time
from chronotope.server.answers.answer import Answer
from chronotope.server.answers.parameters import MAX_LIMIT, WindowParameters
from chronotope.server.evidence.directory import read_kinds
from chronotope.server.evidence.question import Question
from chronotope.server.evidence.settings import Settings
from chronotope.server.evidence.windows import read_window
from chronotope.server.findings.unowned import UnownedAddress, read_ports, unowned_addresses
from chronotope.server.graph.answer import Window
from chronotope.server.graph.assemble import window_of

PATH = "/api/v1/unattributed"
_MOST_CLAIMS = 10

Reason = Literal["unowned", "not_then", "ambiguous"]


class Claim(msgspec.Struct):
    """A service that claims the address; null: for ever."""

    service: str
    from_: str | None = msgspec.field(name="from")
    to: str | None


class Unattributed(msgspec.Struct):
    """One address. `reason`: nobody ever claimed it, not at the time of its flows, or two services did."""

    address: str
    kind: str
    reason: Reason
    bytes_sent: int
    bytes_received: int
    connections: int
    callers: Sequence[str]
    callees: Sequence[str]
    protocols: Sequence[str]
    ports: Sequence[int]
    first_seen: str | None
    last_seen: str | None
    claims: Sequence[Claim]


class UnattributedAnswer(msgspec.Struct):
    """The addresses of a window, the busiest first."""

    window: Window
    addresses: Sequence[Unattributed]
    total: int


# Addresses and a window → for each the reason and (service, from, to) of its claims, Unix milliseconds.
Explain = Callable[[Sequence[str], int, int], Sequence[tuple[Reason, Sequence[tuple[str, int, int]]]]]


class UnattributedParameters(WindowParameters):
    """Parameters of `/api/v1/unattributed`."""

    limit: int = Field(100, ge=1, le=MAX_LIMIT, description="Most addresses returned, busiest first.")


def answer_unattributed(
    store: Store, settings: Settings, parameters: UnattributedParameters, now_ms: int, explain: Explain
) -> Answer:
    """Return the addresses of a window that nobody owns."""
    start_ms, end_ms = parameters.interval(now_ms)
    question = Question(start_ms=start_ms, end_ms=end_ms, layers=("network",), view="hops")
    plan, columns = read_window(store, settings, question, now_ms)
    found, total = unowned_addresses(columns, parameters.limit)
    names = [each.address for each in found]
    ports = read_ports(store, names, plan.start_s, plan.end_s) if names else {}
    kinds, reasons = read_kinds(store), explain(names, plan.start_s * 1000, plan.end_s * 1000)
    records = [
        _record(each, kinds.get(each.address, "unknown"), ports.get(each.address, []), *reason)
        for each, reason in zip(found, reasons, strict=True)
    ]
    return Answer(msgspec.json.encode(UnattributedAnswer(window_of(plan), records, total)))


def _record(
    found: UnownedAddress, kind: str, ports: Sequence[int], reason: Reason, claims: Sequence[tuple[str, int, int]]
) -> Unattributed:
    return Unattributed(
        found.address,
        kind,
        reason,
        found.bytes_sent,
        found.bytes_received,
        found.connections,
        found.callers,
        found.callees,
        found.protocols,
        ports,
        _time(found.first_seen),
        _time(found.last_seen),
        [Claim(service, _time(begin), _time(end)) for service, begin, end in claims[:_MOST_CLAIMS]],
    )


def _time(at_ms: int) -> str | None:
    return format_time(at_ms) if EARLIEST_MS <= at_ms < LATEST_MS else None
