"""The recorded system's network as flow records: what an agent on each of its hosts would have sent.

The kernel's log says when connections were opened, refused and closed, and how many bytes they had carried then; the
snapshots of sockets, every 15 s, say what long ones had carried until then.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

ESTABLISHED, SYN_SENT, SYN_RECEIVED, CLOSED = 1, 2, 3, 7
_END = r"\[?([0-9a-f.:]+?)\]?:(\d+)"
_SOCKET = re.compile(rf"^\d+ +\d+ +{_END} +{_END} .*\n\t.* ?bytes_sent:(\d+).* bytes_received:(\d+)", re.MULTILINE)


class Socket(NamedTuple):
    """One end of a connection."""

    local: str
    local_port: int
    remote: str
    remote_port: int


class Connection(NamedTuple):
    """One end's view of a connection from its opening to its end."""

    socket: Socket
    is_client: bool
    failed: bool
    opened_ns: int
    closed_ns: int
    sent: int
    received: int


def read_lines(path: Path) -> list[str]:
    """The lines of a compressed file."""
    with path.open("rb") as file:
        return zstandard.ZstdDecompressor().stream_reader(file).read().decode().splitlines()


def connections(folder: Path, clock: dict[str, int]) -> Iterator[Connection]:
    """Every connection, from each of its ends; those that never were closed last, with `closed_ns` 0."""
    began: dict[str, tuple[int, bool, Socket]] = {}
    ended: dict[str, tuple[int, int, bool, bool, Socket]] = {}
    for line in read_lines(folder / "tcp_ebpf.log.zst"):
        kind, at, *rest = line.split()
        if kind not in "SB":
            continue
        at_ns = clock["wall_ns"] + int(at) - clock["mono_ns"]
        if kind == "B":
            if rest[0] in ended:
                opened_ns, closed_ns, is_client, failed, socket = ended.pop(rest[0])
                yield Connection(socket, is_client, failed, opened_ns, closed_ns, int(rest[1]), int(rest[2]))
            continue
        sk, _, old, new = rest[2], rest[3], int(rest[4]), int(rest[5])
        socket = Socket(rest[6], int(rest[7]), rest[8], int(rest[9]))
        if new == ESTABLISHED:
            began[sk] = at_ns, old == SYN_SENT, socket
        elif new == CLOSED and old == SYN_SENT:
            ended[sk] = at_ns, at_ns, True, True, socket
        elif new == CLOSED and sk in began:
            opened_ns, is_client, socket = began.pop(sk)
            ended[sk] = opened_ns, at_ns, is_client, False, socket
    for opened_ns, is_client, socket in began.values():
        yield Connection(socket, is_client, False, opened_ns, 0, 0, 0)


def snapshots(folder: Path) -> dict[Socket, list[tuple[int, int, int]]]:
    """Socket → (time, bytes sent, bytes received so far), rising."""
    found = defaultdict(list)
    for line in read_lines(folder / "ss.jsonl.zst"):
        record = json.loads(line)
        for local, port, remote, remote_port, sent, received in _SOCKET.findall(record["text"]):
            ends = local.removeprefix("::ffff:"), int(port), remote.removeprefix("::ffff:"), int(remote_port)
            found[Socket(*ends)].append((record["ts_ns"], int(sent), int(received)))
    return found


def flow_records(folder: Path, clock: dict[str, int]) -> list[dict[str, Any]]:
    """Flow records as the contract has them, of both ends, in the order of the connections' ends."""
    known, records = snapshots(folder), []
    for one in connections(folder, clock):
        end_ns = one.closed_ns or 2**63
        seen = [snapshot for snapshot in known.get(one.socket, ()) if one.opened_ns < snapshot[0] < end_ns]
        seen += [(one.closed_ns, one.sent, one.received)] if one.closed_ns else []
        before, sent, received = one.opened_ns, 0, 0
        for number, (at_ns, sent_then, received_then) in enumerate(seen):
            told = max(sent_then - sent, 0), max(received_then - received, 0)
            records.append(_record(one, before, at_ns, *told, first=number == 0))
            before, sent, received = at_ns, max(sent, sent_then), max(received, received_then)
    return records


def _record(one: Connection, begin_ns: int, end_ns: int, sent: int, received: int, *, first: bool) -> dict[str, Any]:
    local, local_port, remote, remote_port = one.socket
    client = {"client_address": local, "server_address": remote, "server_port": remote_port}
    server = {"client_address": remote, "server_address": local, "server_port": local_port}
    return {
        "start": begin_ns / 1e9,
        "end": end_ns / 1e9,
        **(client if one.is_client else server),
        "client_port": local_port if one.is_client else remote_port,
        "observer": "client" if one.is_client else "server",
        "direction": "syn",
        "connections": int(first and not one.failed),
        "failed_connections": int(first and one.failed),
        "bytes_sent": sent if one.is_client else received,
        "bytes_received": received if one.is_client else sent,
    }


def translations(folder: Path) -> dict[tuple[str, int], tuple[str, int]]:
    """(address, port) as clients see them → the real ones, as connection tracking says."""
    pattern = re.compile(r"src=\S+ dst=(\S+) sport=\d+ dport=(\d+) src=(\S+) dst=\S+ sport=(\d+)")
    found = {}
    for line in read_lines(folder / "conntrack.jsonl.zst"):
        for tracked in json.loads(line)["lines"]:
            match = pattern.search(tracked)
            if match and match[1] != match[3]:
                found[match[1], int(match[2])] = match[3], int(match[4])
    return found
