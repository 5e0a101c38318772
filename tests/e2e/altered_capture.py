"""The recorded live system as if it had run elsewhere: other names, addresses, ports and times, nothing else changed.

What is recorded of a system must not depend on what things are called, so the answers about an altered recording are
the altered answers about the original.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from tests.e2e.live_flows import read_lines

_ADDRESS = re.compile(r"(\[?)(?:::ffff:)?(?<![\d.])(10\.(?:77|96)\.0\.\d+)(?![\d.]*\d)(\]?)(?::(\d+))?")
_TIMES = frozenset({"ts_ns", "recv_ns", "from_ns", "to_ns", "wall_ns", "ts_ms"})


@dataclass(frozen=True)
class Alteration:
    """What becomes of the recording.

    Attributes:
        names: service → another name; places: address → another, IPv4 or IPv6.
        ports: (address, port) → another port, by the original address.
        shift_ms: how much later it all was.
    """

    names: Mapping[str, str]
    places: Mapping[str, str]
    ports: Mapping[tuple[str, int], int]
    shift_ms: int

    def text(self, said: str) -> str:
        """Return a text with its names, addresses and ports replaced."""
        names = "|".join(map(re.escape, self.names))
        said = re.sub(rf"(?<![\w-])(?:{names})(?![\w/])", lambda found: self.names[found[0]], said)
        return _ADDRESS.sub(self._place, said)

    def _place(self, found: re.Match[str]) -> str:
        opened, old, closed, port = found.groups()
        new = self.places[old]
        shown = f"[{new}]" if ":" in new and (port or opened) else f"{opened}{new}{closed}"
        return shown if port is None else f"{shown}:{self.port(old, int(port))}"

    def port(self, address: str, port: int) -> int:
        """Return the port that stands for one at an address of the original."""
        return self.ports.get((address.removeprefix("::ffff:"), port), port)

    def json(self, value: Any, key: str = "") -> Any:
        """Return a JSON value with the same done to all its texts and times."""
        if isinstance(value, dict):
            return {name: self.json(own, name) for name, own in value.items()}
        if isinstance(value, list):
            return [self.json(own, key) for own in value]
        if isinstance(value, str):
            return value if key == "body_b64" else self.text(value)
        return value + self.shift_ms * (1 if key == "ts_ms" else 10**6) if key in _TIMES else value


def alter(folder: Path, into: Path, how: Alteration) -> Path:
    """Write the altered recording, and return where it is."""
    into.mkdir()
    truth = how.json(json.loads((folder / "truth.json").read_text()))
    (into / "truth.json").write_text(json.dumps(truth))
    kinds: dict[str, Callable[[str], str]] = {
        "conntrack": lambda line: json.dumps(_tracked(json.loads(line), how)),
        "ss": lambda line: json.dumps(how.json(json.loads(line))),
        "scrapes": lambda line: json.dumps(how.json(json.loads(line))),
        "otlp_traces": lambda line: json.dumps(_request(json.loads(line), how)),
    }
    for name, change in kinds.items():
        _write(into / f"{name}.jsonl.zst", map(change, read_lines(folder / f"{name}.jsonl.zst")))
    _write(into / "tcp_ebpf.log.zst", (_event(line, how) for line in read_lines(folder / "tcp_ebpf.log.zst")))
    return into


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_bytes(zstandard.ZstdCompressor().compress("\n".join(lines).encode()))


def _event(line: str, how: Alteration) -> str:
    """One line of the kernel's log; only its clock's offset is in the truth, so times stay."""
    words = line.split()
    if words[0] == "S":
        for at in (8, 10):
            address, port = words[at].removeprefix("::ffff:"), int(words[at + 1])
            if address in how.places:
                words[at : at + 2] = how.places[address], str(how.port(address, port))
    return " ".join(words)


def _tracked(record: dict[str, Any], how: Alteration) -> dict[str, Any]:
    ends = re.compile(r"src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)")

    def replaced(found: re.Match[str]) -> str:
        source, target, *ports = found.groups()
        numbers = (how.port(address, int(port)) for address, port in zip((source, target), ports, strict=True))
        return "src={} dst={} sport={} dport={}".format(source, target, *numbers)

    record["lines"] = [ends.sub(replaced, line) for line in record["lines"]]
    return dict(how.json(record))


def _request(record: dict[str, Any], how: Alteration) -> dict[str, Any]:
    request = ExportTraceServiceRequest.FromString(base64.b64decode(record["body_b64"]))
    for one in _messages(request):
        _change(one, how)
    return {**how.json(record), "body_b64": base64.b64encode(request.SerializeToString()).decode()}


def _messages(message: Message) -> Iterator[Message]:
    yield message
    if isinstance(message, KeyValue) and message.key.startswith("db."):
        return  # what kind of database it is, not what it is called
    for field, value in message.ListFields():
        if field.message_type is not None:
            for own in value if field.is_repeated else [value]:
                yield from _messages(own)


def _change(message: Message, how: Alteration) -> None:
    said = [own for field, own in message.ListFields() if field.name == "attributes"]
    if said:
        _move_ports(said[0], how)
    for field, value in message.ListFields():
        if field.name.endswith("time_unix_nano"):
            setattr(message, field.name, value + how.shift_ms * 10**6)
        elif field.type == field.TYPE_STRING and not field.is_repeated:
            setattr(message, field.name, how.text(value))


def _move_ports(attributes: Any, how: Alteration) -> None:
    """Numbers of ports, which say no address themselves, beside the address that they belong to."""
    said = {own.key: own.value for own in attributes}
    for address, port in (
        ("server.address", "server.port"), ("network.peer.address", "network.peer.port"),
        ("net.peer.name", "net.peer.port"), ("net.peer.ip", "net.peer.port"),
    ):  # fmt: skip
        if address in said and said.get(port) is not None and said[port].WhichOneof("value") == "int_value":
            said[port].int_value = how.port(said[address].string_value, said[port].int_value)
