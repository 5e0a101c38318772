"""Find dependency events in evidence that is in order of time: join the series of all layers to edges.

Invariant: what has been found up to a bucket depends only on the evidence up to it. A copy of a detector goes on in the
same way. An edge exists while any layer sees it: it is new, vanished or returned once, however many layers show it. A
layer that is out, or that began later, does not count.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from chronotope.schema.observations import LAYERS
from chronotope.server.detection.layer import APPEARED, GONE, OUT_BUCKETS, advance, begin_of
from chronotope.server.detection.series import LayerState, Rules, new_layer, with_series
from chronotope.server.events.event import NEW, RETURNED, VANISHED


class Evidence(NamedTuple):
    """N rows: an edge (its number in the store) had a number of events in a bucket of a layer (index in LAYERS)."""

    bucket: np.ndarray  # int64, Unix time / 10 s
    layer: np.ndarray  # int8
    edge: np.ndarray  # uint64
    events: np.ndarray  # float64

    def before(self, bucket: int) -> Evidence:
        """Return the rows before a bucket."""
        return Evidence(*(part[self.bucket < bucket] for part in self))

    def since(self, bucket: int) -> Evidence:
        """Return the rows from a bucket on."""
        return Evidence(*(part[self.bucket >= bucket] for part in self))


class Found(NamedTuple):
    """An event by numbers: the bucket of its time, the bucket at whose end it was evident, and its edge."""

    type: str
    edge: int
    bucket: int
    evident: int
    layers: tuple[str, ...]
    probability: float | None = None


@dataclass(slots=True)
class Detector:
    """The state of all layers. `position` is the first bucket that has not been read; 0 before any."""

    rules: Rules
    position: int = 0
    numbers: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))  # of the edges, in order of appearance
    gone: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    alive: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))  # bits of the layers that have the edge
    last: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # bucket of the last thing known
    layers: dict[str, LayerState] = field(default_factory=dict)

    def copy(self) -> Detector:
        """Return an independent copy."""
        layers = {name: layer.copy() for name, layer in self.layers.items()}
        numbers, gone, alive, last = (part.copy() for part in (self.numbers, self.gone, self.alive, self.last))
        return Detector(self.rules, self.position, numbers, gone, alive, last, layers)

    def advance(self, evidence: Evidence, end: int, width: int = 1) -> list[Found]:
        """Read all evidence of the buckets [position, end), N rows in any order; return the events that it shows.

        Args:
            evidence: complete: later evidence of these buckets needs a detector that has not passed them.
            end: the new position.
            width: buckets that a row covers.
        """
        edge = self._edges(evidence.edge)
        transitions, active = [], {}
        for code, name in enumerate(LAYERS):
            own = np.flatnonzero(evidence.layer == code)
            if not len(own):
                continue
            state = with_series(self.layers.get(name) or new_layer(), edge[own], len(self.numbers))
            self.layers[name], before = state, int(state.head["last"][0])
            order = own[np.lexsort((edge[own], evidence.bucket[own]))]
            transition = advance(state, evidence.bucket[order], edge[order], evidence.events[order], width, self.rules)
            active[name] = np.concatenate([[before], np.unique(evidence.bucket[order])])
            transitions.append((name, transition))
        self.position = max(self.position, end)
        return self._edge_events(transitions, active)

    def peek(self, evidence: Evidence) -> list[Found]:
        """Return the new and returned edges that evidence from the position on shows. Nothing is changed."""
        found: dict[int, Found] = {}
        order = np.argsort(evidence.bucket, kind="stable")
        known = {int(number): at for at, number in enumerate(self.numbers)} if len(order) else {}
        for row in order[self._unusual(evidence)[order]]:
            number, bucket = int(evidence.edge[row]), int(evidence.bucket[row])
            name, at = LAYERS[evidence.layer[row]], known.get(number, -1)
            if number in found or name not in self.layers:
                continue
            if at >= 0 and self.gone[at] and bucket - int(self.last[at]) <= self.rules.look_back:
                found[number] = Found(RETURNED, number, bucket, bucket + 1, (name,))
            elif not self._is_baseline(name, bucket):
                found[number] = Found(NEW, number, bucket, bucket + 1, (name,))
        return list(found.values())

    def first_seen(self, numbers: np.ndarray) -> int | None:
        """Return the first bucket in which one of some edges was seen; None when none was."""
        edges = np.flatnonzero(np.isin(self.numbers, numbers))
        firsts = [
            int(state.series["first"][series].min())
            for state in self.layers.values()
            if len(series := state.series_of[edges[edges < len(state.series_of)]])
            and len(series := series[series >= 0])
        ]
        return min(firsts, default=None)

    def _unusual(self, evidence: Evidence) -> np.ndarray:
        """Return bool[N]: rows of edges that are not known to live."""
        living = np.sort(self.numbers[~self.gone])
        at = np.minimum(np.searchsorted(living, evidence.edge), max(len(living) - 1, 0))
        return living[at] != evidence.edge if len(living) else np.ones(len(evidence.edge), bool)

    def _edges(self, numbers: np.ndarray) -> np.ndarray:
        """Return the index of each edge, int32[N]; new ones get one."""
        order = np.argsort(self.numbers)
        known = self.numbers[order]
        at = np.minimum(np.searchsorted(known, numbers), max(len(known) - 1, 0))
        fresh = np.unique(numbers[known[at] != numbers] if len(known) else numbers)
        if len(fresh):
            self.numbers = np.concatenate([self.numbers, fresh])
            self.gone = np.concatenate([self.gone, np.zeros(len(fresh), bool)])
            self.alive = np.concatenate([self.alive, np.zeros(len(fresh), np.uint8)])
            self.last = np.concatenate([self.last, np.full(len(fresh), -1)])
            return self._edges(numbers)
        return order[at].astype(np.int32) if len(known) else np.zeros(0, np.int32)

    def _edge_events(self, transitions: list[tuple[str, np.ndarray]], active: dict[str, np.ndarray]) -> list[Found]:
        """Put the transitions of all layers in order, and join them to events of edges."""
        if not transitions:
            return []
        names = np.concatenate([np.full(len(transition), at) for at, (_, transition) in enumerate(transitions)])
        every = np.concatenate([transition for _, transition in transitions])
        edges = np.concatenate(
            [self.layers[name].series["edge"][transition["series"]] for name, transition in transitions]
        )
        found = []
        for row in np.lexsort((self.numbers[edges], names, every["kind"], every["at"])):
            name, turn, edge = transitions[names[row]][0], every[row], int(edges[row])
            gone = turn["kind"] == GONE
            event = self._gone(name, edge, turn, active) if gone else self._came(name, edge, turn)
            if event is not None:
                found.append(event)
        return found

    def _came(self, name: str, edge: int, turn: np.void) -> Found | None:
        bucket, bit = int(turn["last"]), 1 << LAYERS.index(name)
        again = int(turn["kind"]) == APPEARED and int(self.alive[edge]) == bit  # after more than the look-back
        stale = self.gone[edge] and bucket - self.last[edge] > self.rules.look_back
        unknown, returned = bool(self.last[edge] < 0 or again or stale), bool(self.gone[edge])
        self.gone[edge], self.last[edge] = False, bucket
        self.alive[edge] |= bit
        number, evident = int(self.numbers[edge]), int(turn["at"])
        if unknown:
            known = bucket < int(turn["begin"]) + self.rules.baseline
            return None if known else Found(NEW, number, bucket, evident, (name,))
        return Found(RETURNED, number, bucket, evident, (name,)) if returned else None

    def _gone(self, name: str, edge: int, turn: np.void, active: dict[str, np.ndarray]) -> Found | None:
        """The edge vanished with this series, unless another layer that is not out still sees it."""
        at, bits = int(turn["at"]), int(self.alive[edge])
        self.last[edge] = max(int(self.last[edge]), int(turn["last"]))
        self.alive[edge] &= 0xFF ^ (1 << LAYERS.index(name))
        others = [other for code, other in enumerate(LAYERS) if int(self.alive[edge]) >> code & 1]
        if self.gone[edge] or not all(self._is_out(other, at, active) for other in others):
            return None
        self.gone[edge], self.alive[edge] = True, 0
        layers = tuple(layer for code, layer in enumerate(LAYERS) if bits >> code & 1)
        return Found(VANISHED, int(self.numbers[edge]), int(self.last[edge]) + 1, at, layers, float(turn["chance"]))

    def _is_out(self, name: str, at: int, active: dict[str, np.ndarray]) -> bool:
        """Whether a layer had had no evidence for long at a bucket."""
        times = active.get(name, self.layers[name].head["last"])
        return bool(at - times[max(int(np.searchsorted(times, at)) - 1, 0)] > OUT_BUCKETS)

    def _is_baseline(self, name: str, bucket: int) -> bool:
        return bucket < begin_of(self.layers[name].head[0], bucket) + self.rules.baseline
