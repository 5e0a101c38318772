"""The records of the kernel programs as NumPy types: the layouts of flow_event.h.

Invariant: sizes and offsets are those of the C structs, which have no padding.
"""

from __future__ import annotations

import numpy as np

UNKNOWN, CLIENT, SERVER, LISTENER = range(4)  # enum role
SYN, PORT = 1, 2  # enum origin
TCP, UDP = 6, 17
ENVIRON_BYTES = 4096

ADDRESS = np.dtype("V16")

FLOW = np.dtype(
    [
        ("local_address", ADDRESS),
        ("remote_address", ADDRESS),
        *((name, "<u8") for name in ("opened_ns", "at_ns", "process_start_ns", "cgroup", "inode")),
        *((name, "<u8") for name in ("bytes_out", "bytes_in", "rtt_us_sum")),
        *((name, "<u4") for name in ("rtt_count", "retransmits", "connections", "failed", "netns", "pid")),
        *((name, "<u2") for name in ("local_port", "remote_port")),
        *((name, "u1") for name in ("role", "transport", "alive", "origin")),
    ]
)

PAIR_KEY = np.dtype([("addresses", "V32"), ("phase", "<u4"), ("rest", "V12")])
DATAGRAM_KEY = np.dtype([("addresses", "V32"), ("phase", "<u4"), ("rest", "V12")])

PROCESS = np.dtype(
    [
        ("start_ns", "<u8"),
        ("cgroup", "<u8"),
        ("pid", "<u4"),
        ("environ_bytes", "<u4"),
        ("comm", "S16"),
        ("environ", f"V{ENVIRON_BYTES}"),
    ]
)

COUNTERS = (
    "opened",
    "closed",
    "summed",
    "found",
    "datagrams",
    "unnamed",
    "lost_connections",
    "lost_flows",
    "lost_datagrams",
    "lost_processes",
)
