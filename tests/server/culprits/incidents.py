"""A small system whose calls are simulated, with a fault in one service: what culprits must find.

front calls cart, search and pay; cart calls store and rates; pay calls rates and bank. Every request's time is its
services' own times, plus the time between. Names, sizes and the seed are parameters; nothing of them is in the product.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chronotope.schema.observations import INSIDE, REPORTER_SOURCE, REPORTER_TARGET, observation_table
from chronotope.schema.storage.store import Store

CALLS = {"front": ("cart", "search", "pay"), "cart": ("store", "rates"), "pay": ("rates", "bank")}
SERVICES = ("front", "cart", "search", "pay", "store", "rates", "bank")


@dataclass(frozen=True)
class Fault:
    """What is wrong with a service: factors on its own time and on the time to it, its errors, calls it leaves out."""

    service: str = ""
    own: float = 1.0
    between: float = 1.0
    errors: float = 0.0
    skips: tuple[str, ...] = ()
    dead: bool = False


@dataclass(frozen=True)
class Traffic:
    """A window of it: ten-second sub-windows from `start`, with a mean of `rate` requests each."""

    start: int
    fault: Fault = Fault()
    sub_windows: int = 30
    rate: float = 40.0
    seed: int = 1
    layers: tuple[str, ...] = ("trace",)
    blind: tuple[str, ...] = ()  # callees of which spans know nothing: their time looks like their callers' own


def write_traffic(store: Store, *windows: Traffic) -> None:
    """Insert the observations of some windows."""
    rows = [
        row for window in windows for sub_window in range(window.sub_windows) for row in _sub_window(window, sub_window)
    ]
    names = ("time", "layer", "source", "target", "view", "reporter", "calls", "errors", "latency_us_sum",
             "latency_count")  # fmt: skip
    store.insert("observations", observation_table({name: [row[at] for row in rows] for at, name in enumerate(names)}))


def _sub_window(window: Traffic, sub_window: int) -> list[tuple[Any, ...]]:
    rng = np.random.default_rng([window.seed, window.start % 2**31, sub_window])
    found: list[tuple[Any, ...]] = []
    _serve(window, rng, "front", int(rng.poisson(window.rate)), window.start + 10 * sub_window, found)
    return found


def _serve(
    window: Traffic, rng: np.random.Generator, service: str, requests: int, at: int, found: list[tuple[Any, ...]]
) -> tuple[float, int]:
    """Add what requests to a service cause; return their time in all, in ms, and how many failed."""
    fault = window.fault if window.fault.service == service else Fault()
    own = float(rng.lognormal(np.log(5.0 * fault.own), 0.8, requests).sum())
    failed = int(rng.binomial(requests, fault.errors))
    waited = 0.0
    for callee in CALLS.get(service, ()):
        gone = window.fault.dead and window.fault.service == callee
        if callee in fault.skips or gone:
            continue
        served, broken = _serve(window, rng, callee, requests, at, found)
        far = window.fault.between if window.fault.service in (callee, service) else 1.0
        between = float(rng.lognormal(np.log(2.0 * far), 0.5, requests).sum())
        if callee in window.blind:
            own += served + between
        else:
            waited += served + between
        failed = max(failed, broken)
        _record(found, window, at, (service, callee), requests, broken, served, between)
    if "trace" in window.layers and requests and service not in window.blind:
        found.append((at, "trace", service, service, INSIDE, 0, 0, 0, int(own * 1000), requests))
    return own + waited, failed


def _record(
    found: list[tuple[Any, ...]],
    window: Traffic,
    at: int,
    ends: tuple[str, str],
    calls: int,
    errors: int,
    served: float,
    between: float,
) -> None:
    if not calls:
        return
    waited = int((served + between) * 1000)
    for layer in window.layers:
        if layer == "trace" and ends[1] in window.blind:
            continue
        found.append((at, layer, *ends, 0, REPORTER_SOURCE, calls, errors, waited, calls))
        if layer == "ipc":
            found.append((at, layer, *ends, 0, REPORTER_TARGET, calls, errors, int(served * 1000), calls))
        if layer == "trace":
            found.append((at, layer, *ends, INSIDE, 0, 0, 0, int(between * 1000), calls))


def incident(start: int, fault: Fault, **more: Any) -> tuple[Traffic, Traffic]:
    """Return five good minutes, then five with a fault."""
    good = Traffic(start, **more)
    return good, replace(good, start=start + 10 * good.sub_windows, fault=fault)
