"""Keep the detector's state in the store, so that detection goes on after a restart.

Invariant: a state is read exactly as it was written. A state of another version is ignored.
"""

from __future__ import annotations

import base64
import io
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from chronotope.schema.observations import BUCKET_S
from chronotope.schema.storage.store import Store
from chronotope.server.detection.detector import Detector
from chronotope.server.detection.layer import VERSION
from chronotope.server.detection.series import LayerState, Rules

_EDGES = ("numbers", "gone", "alive", "last")
_STAMP = pa.timestamp("ms", tz="UTC")


class Saved(NamedTuple):
    """A detector, and an instant (Unix milliseconds): all evidence that arrived before it has been read, up to the
    position.
    """

    detector: Detector
    arrived_ms: int


def pack(detector: Detector) -> bytes:
    """Return a detector's state, compressed."""
    arrays = {name: getattr(detector, name) for name in _EDGES} | {"position": np.array(detector.position)}
    for name, layer in detector.layers.items():
        arrays |= {f"{name}.{part}": getattr(layer, part) for part in LayerState._fields}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    raw = file.getvalue()
    packed: bytes = pa.compress(raw, codec="zstd", asbytes=True)
    return len(raw).to_bytes(8, "little") + packed


def unpack(state: bytes, rules: Rules) -> Detector:
    """Return the detector of a packed state."""
    raw = pa.decompress(state[8:], decompressed_size=int.from_bytes(state[:8], "little"), codec="zstd", asbytes=True)
    with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
        names = {name.partition(".")[0] for name in arrays.files if "." in name}
        layers = {
            name: LayerState(*(arrays[f"{name}.{part}"] for part in LayerState._fields)) for name in sorted(names)
        }
        edges = {name: arrays[name] for name in _EDGES}
        return Detector(rules=rules, position=int(arrays["position"]), layers=layers, **edges)


def save(store: Store, saved: Saved, now_ms: int) -> None:
    """Write a state; the newest counts."""
    row = {
        "slot": pa.array([0], pa.uint8()),
        "saved_at": pa.array([now_ms]).cast(_STAMP),
        "arrived_at": pa.array([saved.arrived_ms]).cast(_STAMP),
        "version": pa.array([VERSION], pa.uint32()),
        "position": pa.array([saved.detector.position * BUCKET_S], pa.uint32()),
        "state": pa.array([pack(saved.detector)], pa.binary()),
    }
    store.insert("detector_states", pa.table(row))


def load(store: Store, rules: Rules) -> Saved | None:
    """Return the newest state of this version; None when there is none."""
    rows = store.query(
        "SELECT toUnixTimestamp64Milli(arrived_at) AS arrived_ms, base64Encode(state) AS state FROM detector_states "
        "WHERE version = {version:UInt32} ORDER BY saved_at DESC LIMIT 1",
        {"version": VERSION},
    ).to_pylist()
    if not rows:
        return None
    return Saved(unpack(base64.b64decode(rows[0]["state"]), rules), rows[0]["arrived_ms"])
