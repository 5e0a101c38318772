"""How often a direction that ports tell is right: real connections whose SYN is known, with that hidden."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.e2e.live_flows import connections

from chronotope.ingest.files.flows.packet_flow import End, ForeignFlow
from chronotope.schema.observations import BY_PORT
from chronotope.server.evidence.confidence import CONFIDENCE


class Opened(NamedTuple):
    """A connection and who opened it."""

    client: End
    server: End


def of_live_capture(folder: Path) -> Iterator[Opened]:
    clock = json.loads((folder / "truth.json").read_text())["clock"]
    for one in connections(folder, clock):
        if one.is_client:
            yield Opened(End(one.socket.local, one.socket.local_port), End(one.socket.remote, one.socket.remote_port))


def of_scope(folder: Path) -> Iterator[Opened]:
    """What connection tracking saw opened."""
    for row in csv.DictReader((folder / "connections.csv").read_text().splitlines()):
        if row["conntracked"] == "true":
            yield Opened(End(row["src_ip"], int(row["src_port"])), End(row["dst_ip"], int(row["dst_port"])))


def of_netobserv(folder: Path) -> Iterator[Opened]:
    """Packets with SYN; 256 is SYN and ACK, of the server."""
    for path in sorted(folder.glob("flow_records*.json.gz")):
        for stream in json.loads(gzip.decompress(path.read_bytes()))["data"]["result"]:
            for _, line in stream["values"]:
                said = json.loads(line)
                flags = said.get("Flags")
                if said.get("Proto") == 6 and isinstance(flags, int) and flags & (2 | 256):
                    ends = End(said["SrcAddr"], said["SrcPort"]), End(said["DstAddr"], said["DstPort"])
                    yield Opened(*(reversed(ends) if flags & 256 else ends))


def guess(source: End, destination: End) -> tuple[str, bool]:
    """How the direction of a packet in the middle of a connection is known, and whether its source is the client."""
    record = ForeignFlow(source, destination, False, 0, 1).record()
    return record["direction"], (record["client_address"], record["client_port"]) == (source.address, source.port)


def test_what_ports_tell_is_right_as_often_as_is_said(shared_data: Path) -> None:
    """A listening socket counts once, however many connections it takes: they are guessed alike."""
    every = [
        *of_live_capture(shared_data / "live_capture"),
        *of_scope(shared_data / "weave_scope_report"),
        *of_netobserv(shared_data / "netobserv_flows"),
    ]
    right: dict[tuple[str, int], bool] = {}
    for client, server in every:
        told = [guess(client, server), guess(server, client)]
        if told[0][0] == "port":
            listener = server.address.removeprefix("::ffff:"), server.port
            right[listener] = right.get(listener, True) and told == [("port", True), ("port", False)]
    assert len(every) > 3_000
    assert len(right) >= 30
    probability = (sum(right.values()) + 1) / (len(right) + 2)
    assert probability == pytest.approx(CONFIDENCE[BY_PORT], abs=0.01)
