"""A compiled hash table of known texts: from the bytes of a series or comment to a dense entry number.

Invariant: two texts share an entry only if all their bytes are equal (the hash finds, the bytes decide). The table
never grows by itself: an insertion without room answers FULL, and the owner makes room or gives up.
"""

from __future__ import annotations

import secrets

import numpy as np

from chronotope.ingest.columns.bytes import U64, hash_bytes, inlined, same_bytes

FULL = -1
ENTRIES, USED = 0, 1  # places in `TextCache.fill`


class TextCache:
    """Texts by entry number, 0 to `entries` - 1. Entry e is `arena[starts[e]:starts[e] + sizes[e]]`."""

    def __init__(self, max_entries: int) -> None:
        self.max_entries = max_entries
        self.seed = np.uint64(secrets.randbits(64))
        self.clear()

    def clear(self) -> None:
        """Forget all texts, and give back their memory."""
        self.fill = np.zeros(2, np.int64)
        self.slots = np.full(256, -1, np.int32)
        room = min(128, self.max_entries)
        self.hashes = np.empty(room, np.uint64)
        self.starts = np.empty(room, np.uint64)
        self.sizes = np.empty(room, np.uint64)
        self.arena = np.empty(1 << 14, np.uint8)

    @property
    def entries(self) -> int:
        """The number of texts."""
        return int(self.fill[ENTRIES])

    def text(self, entry: int) -> bytes:
        """Return the text of an entry."""
        start = int(self.starts[entry])
        return self.arena[start : start + int(self.sizes[entry])].tobytes()

    def make_room(self, size: int) -> bool:
        """Make room for one more text of a size; False if the table is at its limit."""
        entries, used = self.entries, int(self.fill[USED])
        if entries >= self.max_entries:
            return False
        if entries >= len(self.hashes):
            for name in ("hashes", "starts", "sizes"):
                setattr(self, name, np.resize(getattr(self, name), min(2 * entries, self.max_entries)))
            self.slots = np.full(2 * len(self.slots), -1, np.int32)
            _place_all(self.slots, self.hashes, entries)
        if used + size > len(self.arena):
            self.arena = np.resize(self.arena, max(2 * len(self.arena), used + size))
        return True


def _place_all(slots: np.ndarray, hashes: np.ndarray, entries: int) -> None:
    """Put all entries into empty slots, in rounds: of those that want one free slot, one gets it."""
    waiting = np.arange(entries, dtype=np.int32)
    mask = np.uint64(len(slots) - 1)
    wanted = (hashes[:entries] & mask).astype(np.int64)
    while len(waiting):
        free = slots[wanted] < 0
        slots[wanted[free]] = waiting[free]
        placed = slots[wanted] == waiting
        waiting = waiting[~placed]
        wanted = (wanted[~placed] + 1) & np.int64(mask)


@inlined
def find_or_add(
    buffer: np.ndarray,
    position: U64,
    end: U64,
    fill: np.ndarray,
    slots: np.ndarray,
    hashes: np.ndarray,
    starts: np.ndarray,
    sizes: np.ndarray,
    arena: np.ndarray,
    seed: U64,
) -> int:
    """Return the entry of buffer[position:end], a new one if need be; FULL when a new one has no room."""
    size = end - position
    hashed = hash_bytes(buffer, position, end, seed)
    mask = np.uint64(len(slots) - 1)
    slot = hashed & mask
    while slots[slot] >= 0:
        entry = slots[slot]
        same = hashes[entry] == hashed and sizes[entry] == size
        if same and same_bytes(buffer, position, arena, starts[entry], size):
            return int(entry)
        slot = (slot + np.uint64(1)) & mask
    entries, used = fill[ENTRIES], np.uint64(fill[USED])
    if entries >= len(hashes) or used + size > np.uint64(len(arena)):
        return FULL
    slots[slot] = np.int32(entries)
    hashes[entries], starts[entries], sizes[entries] = hashed, used, size
    for index in range(size):
        arena[used + np.uint64(index)] = buffer[position + np.uint64(index)]
    fill[ENTRIES], fill[USED] = entries + 1, np.int64(used + size)
    return int(entries)
