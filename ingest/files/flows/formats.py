"""Files of flows as batches: our own records (NDJSON, Arrow), NetObserv, Hubble, and flow logs of clouds.

Invariant: a batch holds at most 50,000 records. What cannot be used is counted by reason. Names that a source has for
addresses become claims, for the time at which the source used them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from chronotope.ingest.files.flows.hubble import Hubble
from chronotope.ingest.files.flows.netobserv import NetObserv
from chronotope.ingest.files.flows.packet_flow import ForeignFlow
from chronotope.ingest.files.flows.vpc import Vpc
from chronotope.ingest.files.json_input import NotUnderstood, decode_json, log_skip, read_elements, read_lines
from chronotope.ingest.files.opening import InputFile, Progress, open_input
from chronotope.ingest.flows.buckets import FlowRows, flow_rows
from chronotope.ingest.flows.record import LINE_SCHEMA, FlowLine, address_text, parse_flows
from chronotope.ingest.flows.rows import FlowVocabulary
from chronotope.ingest.flows.writer import FlowWriter, Outcome, Sent
from chronotope.ingest.identity.owners import Ownership
from chronotope.ingest.records.identities import claims_table
from chronotope.ingest.requests.ndjson import read_ndjson
from chronotope.ingest.requests.outcome import Records
from chronotope.ingest.requests.records import time_parser
from chronotope.ingest.writing.insert import table_digest

FLOW_FORMATS = ("flows", "netobserv", "hubble", "vpc")
RECORDS_A_BATCH = 50_000
_READERS: dict[str, Callable[[], NetObserv | Hubble | Vpc]] = {"netobserv": NetObserv, "hubble": Hubble, "vpc": Vpc}
_FAULTS = frozenset({"bad_json", "not_an_object", "not_a_flow", "too_large"})
_ARROW_STREAM, _ARROW_FILE = b"\xff\xff\xff\xff", b"ARROW1"


@dataclass(slots=True)
class FlowBatch:
    """Some records of a file: rows, names of addresses, the number read, and why some were not used.

    `digest` is of the records themselves: the same ones, imported again, count once.
    """

    flows: FlowRows | None = None
    claims: list[Ownership] = field(default_factory=list)
    read: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    digest: int = 0


def read_flow_batches(
    path: str | Path, format: str, vocabulary: FlowVocabulary, on_progress: Progress
) -> Iterator[FlowBatch]:
    """Yield the flows of a file, plain, gzip or zstd; `-` is standard input.

    Raises:
        NotFound: no such file.
        InvalidPayload: not of that format, or damaged; what came before the damage was yielded.
    """
    with open_input(path, on_progress) as source:
        if format == "flows":
            yield from _own(source, vocabulary)
        else:
            yield from _foreign(source, format, vocabulary)


def _own(source: InputFile, vocabulary: FlowVocabulary) -> Iterator[FlowBatch]:
    head = source.peek(8)
    if head.startswith((_ARROW_STREAM, _ARROW_FILE)):
        yield from _arrow(source, vocabulary, file=head.startswith(_ARROW_FILE))
        return
    lines: list[bytes] = []
    for _, line in read_lines(source):
        lines.append(line or b"")
        if len(lines) == RECORDS_A_BATCH:
            yield _ndjson(source, lines, vocabulary)
            lines = []
    if lines:
        yield _ndjson(source, lines, vocabulary)


def _ndjson(source: InputFile, lines: list[bytes], vocabulary: FlowVocabulary) -> FlowBatch:
    records = read_ndjson(b"\n".join(lines), FlowLine, LINE_SCHEMA, time_parser(0))
    return _batch(source, records, len(lines), vocabulary)


def _arrow(source: InputFile, vocabulary: FlowVocabulary, *, file: bool) -> Iterator[FlowBatch]:
    whole = pa.BufferReader(b"".join(source.blocks()))
    try:
        table = (pa.ipc.open_file(whole) if file else pa.ipc.open_stream(whole)).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as cause:
        raise source.invalid(f"not a whole Arrow file or stream: {str(cause)[:200]}") from cause
    for start in range(0, table.num_rows, RECORDS_A_BATCH):
        some = table.slice(start, RECORDS_A_BATCH)
        records = Records(some, np.arange(start + 1, start + 1 + some.num_rows))
        yield _batch(source, records, some.num_rows, vocabulary)


def _batch(source: InputFile, records: Records, read: int, vocabulary: FlowVocabulary) -> FlowBatch:
    seen = parse_flows(records, time_parser(0))
    for line, detail in records.errors[:20]:
        log_skip(source, f"record {line}", detail, 0)
    rows = flow_rows(seen, records.alive, vocabulary) if records.alive.any() else None
    skipped = Counter({"bad_record": records.refused}) if records.refused else Counter()
    return FlowBatch(rows, [], read, skipped, int.from_bytes(table_digest(records.table, 8)) | 1)


def _foreign(source: InputFile, format: str, vocabulary: FlowVocabulary) -> Iterator[FlowBatch]:
    batch, found = FlowBatch(), list[ForeignFlow]()
    used, first_fault = 0, ""
    for place, one in _read_flows(source, format):
        batch.read += 1
        if isinstance(one, ForeignFlow):
            found.append(one)
            used += 1
        else:
            batch.skipped[one] += 1
            if one in _FAULTS:
                log_skip(source, place, one, batch.skipped.total())
                first_fault = first_fault or f"{place}: {one}"
        if len(found) == RECORDS_A_BATCH:
            yield _finished(source, batch, found, vocabulary)
            batch, found = FlowBatch(), []
    if first_fault and not used and not batch.skipped.keys() - _FAULTS:
        raise source.invalid(f"nothing in it is a flow of {format} ({first_fault})")
    if batch.read:
        yield _finished(source, batch, found, vocabulary)


def _read_flows(source: InputFile, format: str) -> Iterator[tuple[str, ForeignFlow | str]]:
    """Yield (position, flow or the reason why there is none)."""
    reader: NetObserv | Hubble | Vpc = _READERS[format]()
    if isinstance(reader, Vpc):
        elements = ((f"line {number}", line) for number, line in read_lines(source))
        decode: Callable[[bytes], Any] = bytes
    else:
        elements = ((element.place, element.text) for element in read_elements(source, None))
        decode = decode_json
    for place, text in elements:
        try:
            if text is None:
                raise NotUnderstood("too_large")
            for one in reader.flows(decode(text)):
                yield place, one
        except NotUnderstood as cause:
            yield place, str(cause)


def _finished(source: InputFile, batch: FlowBatch, found: list[ForeignFlow], vocabulary: FlowVocabulary) -> FlowBatch:
    rows = [flow.record() for flow in found]
    columns = {one.name: pa.array([row.get(one.name) for row in rows], one.type) for one in LINE_SCHEMA}
    records = Records(pa.table(columns), np.arange(1, len(rows) + 1))
    records_batch = _batch(source, records, 0, vocabulary)
    batch.flows, batch.digest = records_batch.flows, records_batch.digest
    batch.skipped.update(records_batch.skipped)
    batch.claims = claims_of_names(found)
    return batch


def claims_of_names(found: list[ForeignFlow]) -> list[Ownership]:
    """Return the claims from flows' names: a range for each stretch with one name, from its first flow to its last."""
    named = [
        (address, flow.start_ms, flow.end_ms + 1, end.service)
        for flow in found
        for end in (flow.source, flow.destination)
        if end.service and (address := address_text(end.address))
    ]
    claims: list[Ownership] = []
    for address, begin, end, service in sorted(named):
        last = claims[-1] if claims else None
        if last is not None and (last.address, last.service) == (address, service):
            claims[-1] = last._replace(valid_to_ms=max(last.valid_to_ms, end))
        else:
            claims.append(Ownership(address, service, 0, "service", begin, end))
    return claims


def write_flow_batch(writer: FlowWriter, batch: FlowBatch) -> Outcome:
    """Make a batch durable: its claims first, so that its flows are attributed only once."""
    outcome = Outcome()
    if batch.claims:
        table = claims_table(batch.claims)
        outcome = writer.claim(table, f"imported-{batch.digest}")
    if batch.flows is not None:
        accepted = writer.accept([Sent(batch.flows, batch.digest)])
        accepted.observations += outcome.observations
        return accepted
    return outcome
