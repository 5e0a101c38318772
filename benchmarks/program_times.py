"""How long kernel programs ran, by the kernel's own account (sysctl kernel.bpf_stats_enabled)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator

_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
_NEXT, _OPEN, _INFO = 11, 13, 15  # BPF_PROG_GET_NEXT_ID, BPF_PROG_GET_FD_BY_ID, BPF_OBJ_GET_INFO_BY_FD
_INFO_BYTES, _NAME, _TIMES = 232, 64, 192  # struct bpf_prog_info: name, run_time_ns and run_cnt
_libc = ctypes.CDLL(None, use_errno=True)


def program_times() -> Iterator[tuple[str, int, int]]:
    """Give name, nanoseconds and runs of every loaded program."""
    number = 0
    while True:
        answer, asked = _call(_NEXT, struct.pack("<III", number, 0, 0))
        if answer < 0:
            return
        number = struct.unpack_from("<I", asked, 4)[0]
        descriptor, _ = _call(_OPEN, struct.pack("<III", number, 0, 0))
        if descriptor < 0:
            continue
        information = ctypes.create_string_buffer(_INFO_BYTES)
        answer, _ = _call(_INFO, struct.pack("<IIQ", descriptor, _INFO_BYTES, ctypes.addressof(information)))
        os.close(descriptor)
        if answer == 0:
            name = information.raw[_NAME : _NAME + 16].rstrip(b"\0").decode()
            spent_ns, runs = struct.unpack_from("<QQ", information, _TIMES)
            yield name, spent_ns, runs


def _call(command: int, attributes: bytes) -> tuple[int, bytes]:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return _libc.syscall(_BPF, command, buffer, len(attributes)), buffer.raw
