"""Flows of the NetObserv eBPF agent: a Loki answer, or flow-logs-pipeline's JSON records, one a line.

The same packets are reported once for each interface that they pass. Reports are the same when agent, ends and times
are the same.

Source: https://github.com/netobserv/network-observability-operator/blob/main/docs/flows-format.adoc
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chronotope.ingest.files.flows.packet_flow import TCP_NUMBER, UDP_NUMBER, End, ForeignFlow, client_by_flags
from chronotope.ingest.files.json_input import NotUnderstood, decode_json
from chronotope.schema.names import service_id

_SYN_ACK = 256  # the agent's own flag, beside those of TCP
_FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ECE": 64, "CWR": 128, "SYN_ACK": _SYN_ACK}
_EGRESS = 1
_MOST_REMEMBERED = 500_000


class NetObserv:
    """Reads elements of a file. It remembers what it has read, because the same packets come again."""

    def __init__(self) -> None:
        self._seen: set[tuple[object, ...]] = set()

    def flows(self, element: Any) -> Iterator[ForeignFlow | str]:
        """Yield the flows of a JSON value, or the reason why there is none.

        Raises:
            NotUnderstood: it holds nothing of this format.
        """
        if not isinstance(element, dict):
            raise NotUnderstood("not_an_object")
        result = element.get("data", {}).get("result") if isinstance(element.get("data"), dict) else None
        if result is None:
            yield self._flow(element)
            return
        for stream in result:
            for _, line in stream.get("values", []):
                fields = decode_json(line.encode()) if isinstance(line, str) and line.startswith("{") else None
                labels = stream.get("stream") or {}
                yield self._flow({**labels, **fields}) if isinstance(fields, dict) else "not_a_flow"

    def _flow(self, fields: dict[str, Any]) -> ForeignFlow | str:
        try:
            return self._taken(fields)
        except (KeyError, TypeError, ValueError):
            return "not_a_flow"

    def _taken(self, fields: dict[str, Any]) -> ForeignFlow | str:
        number = int(fields["Proto"])
        if number not in (TCP_NUMBER, UDP_NUMBER):
            return "other_protocol"
        source, destination = _end(fields, "Src"), _end(fields, "Dst")
        start_ms, end_ms = int(fields["TimeFlowStartMs"]), int(fields["TimeFlowEndMs"])
        key = (fields.get("AgentIP"), source.address, source.port, destination.address, destination.port, number,
               start_ms, end_ms)  # fmt: skip
        if key in self._seen or str(fields.get("Duplicate", "")).lower() == "true":
            return "duplicate"
        if len(self._seen) < _MOST_REMEMBERED:
            self._seen.add(key)
        flags, octets = _flags(fields.get("Flags")), int(fields.get("Bytes") or 0)
        from_client = None if number == UDP_NUMBER else client_by_flags(flags, _SYN_ACK)
        if from_client is None and fields.get("DstK8S_Type") == "Service":
            from_client = True
        dropped = not octets and bool(fields.get("PktDropPackets"))
        if dropped and not from_client:
            return "dropped"
        return ForeignFlow(
            source, destination, number == UDP_NUMBER, start_ms, end_ms, octets,
            opened=int(from_client is True and bool(flags & 2) and not dropped),
            failed=int(dropped),
            seen_at_source=_seen_at_source(fields),
            from_client=from_client,
            rtt_us=int(fields.get("TimeFlowRttNs") or 0) // 1000,
        )  # fmt: skip


def _flags(said: Any) -> int:
    """Flags are a number, or, of newer versions, a list of names."""
    return sum(_FLAGS.get(str(name), 0) for name in set(said)) if isinstance(said, list) else int(said or 0)


def _end(fields: dict[str, Any], side: str) -> End:
    owner = fields.get(f"{side}K8S_OwnerName") or fields.get(f"{side}K8S_Name") or ""
    namespace = fields.get(f"{side}K8S_Namespace") or ""
    return End(str(fields[f"{side}Addr"]), int(fields.get(f"{side}Port") or 0), service_id(str(owner), str(namespace)))


def _seen_at_source(fields: dict[str, Any]) -> bool | None:
    agent = fields.get("AgentIP")
    if agent and agent in (fields.get("SrcK8S_HostIP"), fields.get("DstK8S_HostIP")):
        return bool(agent == fields.get("SrcK8S_HostIP"))
    direction = fields.get("FlowDirection")
    return None if direction is None else int(direction) == _EGRESS
