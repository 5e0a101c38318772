"""Flows of Cilium's Hubble: `hubble observe -o json` or an exporter's file, one protobuf-JSON message a line.

Hubble reports single packets and has no byte counts. So it gives connections, opened or refused, once for each end that
saw them. The first packet that is seen of a connection stands for it, in whichever direction it went.

`traffic_direction` is the direction of the connection, not of the packet. At the client's end it is EGRESS for requests
and replies alike, at the server's end INGRESS (`decodeTrafficDirection` inverts it for replies).

Sources: https://github.com/cilium/cilium/blob/main/api/v1/flow/flow.proto,
https://github.com/cilium/cilium/blob/main/pkg/hubble/parser/threefour/parser.go
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chronotope.ingest.files.flows.packet_flow import ACK, SYN, End, ForeignFlow, client_by_flags
from chronotope.ingest.files.json_input import NotUnderstood
from chronotope.schema.names import service_id
from chronotope.schema.times import parse_time

_MOST_REMEMBERED = 500_000
_LABELS = ("k8s:app.kubernetes.io/name", "k8s:app", "k8s:k8s-app", "k8s:name")
_REFUSED = ("DROPPED", "ERROR")
_AGAIN_MS = 60_000  # a SYN so long after a connection's last packet opens another one from the same port


class Hubble:
    """Reads lines of a file. It remembers connections, because each is reported packet by packet."""

    def __init__(self) -> None:
        self._seen: dict[tuple[object, ...], int] = {}  # connection at one of its ends → when its last packet was seen

    def flows(self, element: Any) -> Iterator[ForeignFlow | str]:
        """Yield the flow of a line, or the reason why there is none.

        Raises:
            NotUnderstood: it is nothing of this format.
        """
        if not isinstance(element, dict):
            raise NotUnderstood("not_an_object")
        flow = element.get("flow", element)
        if not isinstance(flow, dict) or not ("l4" in flow or "IP" in flow or "verdict" in flow):
            yield "not_a_flow"
            return
        try:
            yield self._taken(flow, element)
        except (KeyError, TypeError, ValueError, AttributeError):
            yield "not_a_flow"

    def _taken(self, flow: dict[str, Any], element: dict[str, Any]) -> ForeignFlow | str:
        if flow.get("Type") == "SOCK":
            return "socket_event"  # of a system call, before and after translation; its packets are reported as well
        places, layer4 = flow.get("IP") or flow.get("ip") or {}, flow.get("l4") or {}
        udp = "UDP" in layer4
        if not udp and "TCP" not in layer4:
            return "other_protocol"
        ports = layer4["UDP" if udp else "TCP"]
        source = _end(places["source"], _get(ports, "source_port"), flow.get("source"))
        destination = _end(places["destination"], _get(ports, "destination_port"), flow.get("destination"))
        from_client = _from_client(flow, ports)
        refused = flow.get("verdict") in _REFUSED
        if refused and from_client is False:
            return "dropped"
        at_ms = parse_time(str(flow.get("time") or element["time"]), 0)
        seen = ForeignFlow(source, destination, udp, at_ms, at_ms, from_client=from_client)
        seen.opened, seen.failed = int(not refused), int(refused)
        direction = _get(flow, "traffic_direction")
        seen.seen_at_client = None if direction in (None, "TRAFFIC_DIRECTION_UNKNOWN") else direction == "EGRESS"
        return seen if self._is_new(seen, opens=_flags(ports) == SYN) else "duplicate"

    def _is_new(self, seen: ForeignFlow, *, opens: bool) -> bool:
        """Whether this connection was not reported before; a SYN much later is a new one with the same ports."""
        record = seen.record()
        names = ("client_address", "client_port", "server_address", "server_port", "transport", "observer")
        key = (*(record[name] for name in names), bool(seen.failed))
        before = self._seen.get(key)
        if before is None and len(self._seen) >= _MOST_REMEMBERED:
            self._seen.clear()
        self._seen[key] = max(seen.start_ms, before or 0)
        return before is None or (opens and seen.start_ms - before > _AGAIN_MS)


def _from_client(flow: Mapping[str, Any], ports: Mapping[str, Any]) -> bool | None:
    reply = _get(flow, "is_reply")
    if isinstance(reply, dict):
        reply = reply.get("value", False)
    flags = client_by_flags(_flags(ports))
    return flags if flags is not None else None if reply is None else not reply


def _flags(ports: Mapping[str, Any]) -> int:
    said = ports.get("flags") or {}
    return (SYN if said.get("SYN") else 0) | (ACK if said.get("ACK") else 0)


def _end(address: str, port: object, endpoint: Any) -> End:
    endpoint = endpoint or {}
    labels = dict(label.partition("=")[::2] for label in endpoint.get("labels") or [])
    workloads = endpoint.get("workloads") or [{}]
    named = (labels[label] for label in _LABELS if labels.get(label))
    name = workloads[0].get("name") or next(named, "") or _get(endpoint, "pod_name") or ""
    return End(address, int(str(port or 0)), service_id(name, endpoint.get("namespace") or ""))


def _get(message: Mapping[str, Any], name: str) -> Any:
    """Return a field by its own name or by the one that protobuf-JSON makes of it."""
    first, *others = name.split("_")
    return message.get(name, message.get(first + "".join(map(str.capitalize, others))))
