"""Read the kernel's ring buffer as an array of records of one size.

Invariant: each record is returned once, whole, in the order of its reservation. A record that is still being written
ends the reading, and is returned the next time.

Source: https://docs.kernel.org/bpf/ringbuf.html; kernel/bpf/ringbuf.c for the layout of the memory.
"""

from __future__ import annotations

import mmap
import select
import struct

import numpy as np

_BUSY, _DISCARDED = 1 << 31, 1 << 30


class Ring:
    """The reading side. The data lie twice, one after the other, so that a record never wraps around."""

    def __init__(self, descriptor: int, size: int, record: np.dtype) -> None:
        """Map the ring.

        Args:
            descriptor: of the map, which this object closes.
            size: of the data, bytes; a power of two.
            record: what each record is.
        """
        page = mmap.PAGESIZE
        self._size = size
        self._record = np.dtype([("header", "<u4"), ("page", "<u4"), ("record", record)], align=False)
        self.descriptor = descriptor
        self._consumer = mmap.mmap(descriptor, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        self._rest = mmap.mmap(descriptor, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._data = np.frombuffer(self._rest, np.uint8, offset=page)
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def read(self) -> np.ndarray:
        """Return the records that are there, and free their space."""
        begin = self._position(self._consumer)
        ready = (self._position(self._rest) - begin) // self._record.itemsize
        at = begin & (self._size - 1)
        found = self._data[at : at + ready * self._record.itemsize].view(self._record)
        busy = np.flatnonzero(found["header"] & _BUSY)
        found = found[: int(busy[0])] if len(busy) else found
        kept: np.ndarray = found["record"][found["header"] & _DISCARDED == 0].copy()
        struct.pack_into("<Q", self._consumer, 0, begin + len(found) * self._record.itemsize)
        return kept

    def wait(self, timeout_s: float) -> bool:
        """Wait for records; return whether some came in time."""
        return bool(self._poll.poll(timeout_s * 1000))

    def close(self) -> None:
        """Unmap it."""
        self._data = np.zeros(0, np.uint8)
        self._consumer.close()
        self._rest.close()

    @staticmethod
    def _position(memory: mmap.mmap) -> int:
        position: int = struct.unpack_from("<Q", memory, 0)[0]
        return position
