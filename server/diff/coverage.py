"""Whether a layer saw both windows alike. Pure.

Invariant: a layer that fell silent, or whose edges all moved by one factor, is reported once, as itself: a collector
that was down, or a changed sampling, does not look like a thousand changed edges. A graph of very few edges cannot
distinguish that from a change, and is taken as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from msgspec import Struct

from chronotope.schema.observations import LAYERS
from chronotope.server.diff.significance import dispersion
from chronotope.server.evidence.columns import EdgeColumns, LayerColumns
from chronotope.server.evidence.sub_windows import SubWindows
from chronotope.server.graph.answer import Layer

FEWEST_SILENT, FEWEST_MOVED = 3, 5  # edges that make a layer
FACTOR = 1.5  # less is how traffic goes
_TOGETHER = 0.9  # of the edges
_EVENTS = 20  # in both windows: fewer do not show a factor


class Coverage(Struct, gc=False):
    """A layer that did not see both windows alike: its events (calls; connections) before and after."""

    layer: Layer
    before: int
    after: int
    explanation: str


@dataclass(frozen=True, slots=True)
class Covered:
    """How a layer saw the second window compared with the first: the factor that all its edges share, and its report.

    Factor 0: silent in the second window; infinite: in the first; 1: alike.
    """

    factor: float = 1.0
    coverage: Coverage | None = None

    @property
    def silent(self) -> bool:
        """Whether one window has nothing of the layer."""
        return self.factor == 0 or np.isinf(self.factor)

    def share(self, seconds: tuple[int, int]) -> float:
        """Return the second window's share of all events when nothing changed but the layer's factor."""
        if np.isinf(self.factor):
            return 1.0
        after = seconds[1] * self.factor
        return after / (seconds[0] + after)


def events_of(name: str, layer: LayerColumns | None, edges: int) -> np.ndarray:
    """Return each edge's events in a layer: calls, of the network connections; int64[E]."""
    if layer is None:
        return np.zeros(edges, np.int64)
    return np.maximum(layer.measures["connections" if name == "network" else "calls"], 0)


def compare_layers(
    before: EdgeColumns, after: EdgeColumns, sub_windows: tuple[SubWindows, SubWindows]
) -> dict[str, Covered]:
    """Return how each layer saw the same E edges in both windows; give it all edges, before any filter."""
    names: list[str] = [name for name in LAYERS if name in before.layers or name in after.layers]
    alive = {name: (_alive(before, name), _alive(after, name)) for name in names}
    found: dict[str, Covered] = {}
    for name in names:
        first, second = alive[name]
        events = tuple(events_of(name, columns.layers.get(name), len(columns)) for columns in (before, after))
        others = [alive[other] for other in names if other != name]
        if first.any() and second.any():
            found[name] = _moved(name, events[0], events[1], sub_windows)
        else:
            found[name] = _silent(name, first, second, events, others)
    return found


def _alive(columns: EdgeColumns, name: str) -> np.ndarray:
    layer = columns.layers.get(name)
    return layer.alive if layer is not None else np.zeros(len(columns), bool)


def _silent(
    name: str,
    first: np.ndarray,
    second: np.ndarray,
    events: tuple[np.ndarray, ...],
    others: list[tuple[np.ndarray, np.ndarray]],
) -> Covered:
    """A layer has nothing in one window: the layer itself is silent if it had several edges, or if another layer saw
    them.
    """
    seen, ended = (first, True) if first.any() else (second, False)
    elsewhere = any((other[1 if ended else 0] & seen).any() for other in others)
    if seen.sum() < FEWEST_SILENT and not elsewhere:
        return Covered()
    window = "after" if ended else "before"
    cause = "its collector or sender was down" if ended else "its collector or sender came only then"
    text = f"nothing from this layer in the window {window}: {cause}; its {seen.sum()} edges are not compared"
    return Covered(0.0 if ended else np.inf, _coverage(name, events, text))


def _moved(name: str, before: np.ndarray, after: np.ndarray, sub_windows: tuple[SubWindows, SubWindows]) -> Covered:
    """All edges up or down by one factor."""
    rows = np.flatnonzero(before + after >= _EVENTS)
    if len(rows) < FEWEST_MOVED:
        return Covered()
    ratio = np.log((after[rows] + 0.5) / (before[rows] + 0.5))
    factor = float(np.median(ratio))
    if abs(factor) < np.log(FACTOR):
        return Covered()
    noise = np.sqrt(_dispersions(name, sub_windows, rows) * (1 / (before[rows] + 0.5) + 1 / (after[rows] + 0.5)))
    together = np.abs(ratio - factor) <= np.maximum(np.log(FACTOR) / 2, 3 * noise)
    # Noise alone does not move an edge in the factor's direction.
    aside = np.sign(ratio) == np.sign(factor)
    if (together & aside).mean() < _TOGETHER:
        return Covered()
    text = (
        f"{(together & aside).sum()} of {len(rows)} edges moved together by a factor of {np.exp(factor):.2g}: "
        "sampling, a collector, or the load as a whole; the rates of its edges are not compared"
    )
    return Covered(float(np.exp(factor)), _coverage(name, (before, after), text))


def _dispersions(name: str, sub_windows: tuple[SubWindows, SubWindows], rows: np.ndarray) -> np.ndarray:
    measure = "connections" if name == "network" else "calls"
    own: Mapping[int, np.ndarray] = {
        at: window[name][measure][rows] for at, window in enumerate(sub_windows) if name in window
    }
    none = np.zeros((len(rows), 0))
    return np.asarray(np.maximum(dispersion((own.get(0, none), own.get(1, none)))[0], 1.0))


def _coverage(name: str, events: tuple[np.ndarray, ...], text: str) -> Coverage:
    layer: Layer = name  # type: ignore[assignment]
    return Coverage(layer, int(events[0].sum()), int(events[1].sum()), text)
