"""Flow logs of clouds' networks: AWS VPC (text, versions 2 to 5, with or without a header), Google Cloud VPC (JSON).

An AWS record does not always say at which end its interface is. An interface's own address is the one that most of its
records share. Packets behind address translation have their own addresses in `pkt-srcaddr` and `pkt-dstaddr`.

Sources: https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html,
https://cloud.google.com/vpc/docs/about-flow-logs-records
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from chronotope.ingest.files.flows.packet_flow import TCP_NUMBER, UDP_NUMBER, End, ForeignFlow, client_by_flags
from chronotope.ingest.files.json_input import NotUnderstood
from chronotope.schema.times import parse_time

_VERSION_2 = (
    "version", "account-id", "interface-id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets", "bytes",
    "start", "end", "action", "log-status",
)  # fmt: skip
_ABSENT = ("", "-")


class Vpc:
    """Reads lines of a file. It remembers the header, and the addresses that each interface reported."""

    def __init__(self) -> None:
        self._fields: Sequence[str] = _VERSION_2
        self._addresses: dict[str, Counter[str]] = defaultdict(Counter)
        self._owners: dict[str, str] = {}

    def flows(self, line: bytes) -> Iterator[ForeignFlow | str]:
        """Yield the flow of a line, or the reason why there is none."""
        try:
            if line.lstrip().startswith(b"{"):
                yield _google(orjson.loads(line))
                return
            words = line.decode().split()
            if "srcaddr" in words:
                self._fields = words
                return
            yield self._amazon(dict(zip(self._fields, words, strict=True)))
        except (KeyError, TypeError, ValueError) as cause:
            raise NotUnderstood("not_a_flow") from cause

    def _amazon(self, fields: dict[str, str]) -> ForeignFlow | str:
        status = fields.get("log-status", "OK")
        if status != "OK":
            return status.lower()
        number = int(fields["protocol"])
        if number not in (TCP_NUMBER, UDP_NUMBER):
            return "other_protocol"
        source = End(_first(fields, "pkt-srcaddr", "srcaddr"), int(fields["srcport"]))
        destination = End(_first(fields, "pkt-dstaddr", "dstaddr"), int(fields["dstport"]))
        flags = int(_first(fields, "tcp-flags") or 0)
        from_client = None if number == UDP_NUMBER else client_by_flags(flags)
        refused = fields.get("action") == "REJECT"
        start_ms, end_ms = int(fields["start"]) * 1000, int(fields["end"]) * 1000
        return ForeignFlow(
            source, destination, number == UDP_NUMBER, start_ms, end_ms,
            bytes=0 if refused else int(fields["bytes"]),
            opened=int(from_client is True and not refused),
            failed=int(refused and from_client is not False),
            seen_at_source=self._seen_at_source(fields),
            from_client=from_client,
        )  # fmt: skip

    def _seen_at_source(self, fields: Mapping[str, str]) -> bool | None:
        direction = _first(fields, "flow-direction")
        if direction:
            return direction == "egress"
        own = self._own_address(_first(fields, "interface-id"), fields["srcaddr"], fields["dstaddr"])
        return own == fields["srcaddr"]

    def _own_address(self, interface: str, source: str, destination: str) -> str:
        """Return which of two addresses is an interface's own; as long as both are as frequent, one no other has."""
        addresses = self._addresses[interface]
        addresses.update((source, destination))
        if addresses[source] != addresses[destination]:
            own = max(source, destination, key=addresses.__getitem__)
        else:
            own = destination if self._owners.get(source, interface) != interface else source
        self._owners.setdefault(own, interface)
        return own


def _first(fields: Mapping[str, str], *names: str) -> str:
    return next((fields[name] for name in names if fields.get(name, "-") not in _ABSENT), "")


def _google(record: dict[str, Any]) -> ForeignFlow | str:
    fields = record.get("jsonPayload", record)
    connection = fields["connection"]
    number = int(connection["protocol"])
    if number not in (TCP_NUMBER, UDP_NUMBER):
        return "other_protocol"
    ends = [
        End(connection[f"{side}_ip"], int(connection.get(f"{side}_port", 0)), _google_name(fields, side))
        for side in ("src", "dest")
    ]
    start_ms, end_ms = (parse_time(str(fields[name]), 0) for name in ("start_time", "end_time"))
    flow = ForeignFlow(ends[0], ends[1], number == UDP_NUMBER, start_ms, end_ms, int(fields.get("bytes_sent", 0)))
    flow.seen_at_source = fields.get("reporter") != "DEST"
    flow.rtt_us = int(float(fields.get("rtt_msec") or 0) * 1000)
    return flow


def _google_name(fields: Mapping[str, Any], side: str) -> str:
    gke = (fields.get(f"{side}_gke_details") or {}).get("pod") or {}
    workload = gke.get("pod_workload") or gke.get("workload") or {}
    name = workload.get("workload_name") or (fields.get(f"{side}_instance") or {}).get("vm_name") or ""
    namespace = gke.get("pod_namespace", "")
    return f"{namespace}/{name}" if namespace and name else str(name)
