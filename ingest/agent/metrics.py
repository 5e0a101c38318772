"""The agent's own metrics, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as MetricsCollector

from chronotope.bpf.program import FlowProgram, Limits
from chronotope.ingest.agent.collector import Collector
from chronotope.ingest.agent.sender import Sent
from chronotope.ingest.agent.spool import Spool

LOST = "lost_"


class AgentMetrics(MetricsCollector):
    """Reads the agent's parts at each scrape."""

    def __init__(self, program: FlowProgram, limits: Limits, collector: Collector, spool: Spool, sent: Sent) -> None:
        self._program = program
        self._limits = limits
        self._collector = collector
        self._spool = spool
        self._sent = sent

    def describe(self) -> Iterator[Metric]:
        """Return nothing: the names are made when they are read."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Return all metrics as they are now."""
        counts = self._program.counters()
        seen = CounterMetricFamily("chronotope_agent_events", "What the kernel programs saw.", labels=["event"])
        lost = CounterMetricFamily("chronotope_agent_lost", "What did not fit into the kernel's maps.", labels=["what"])
        for name, value in counts.items():
            family = lost if name.startswith(LOST) else seen
            family.add_metric([name.removeprefix(LOST)], value)
        yield from (seen, lost)
        living = max(counts["opened"] + counts["found"] - counts["closed"] - counts["lost_connections"], 0)
        yield GaugeMetricFamily("chronotope_agent_connections", "Connections that live.", living)
        yield GaugeMetricFamily("chronotope_agent_connections_limit", "How many may.", self._limits.connections)
        yield GaugeMetricFamily("chronotope_agent_namespaces", "Network namespaces.", self._collector.namespaces)
        yield CounterMetricFamily("chronotope_agent_records", "Flow records made.", self._collector.records)
        yield from self._sending()

    def _sending(self) -> Iterator[Metric]:
        spool, sent = self._spool, self._sent
        yield GaugeMetricFamily("chronotope_agent_spool_bytes", "Waiting for the server.", spool.bytes)
        yield GaugeMetricFamily("chronotope_agent_spool_batches", "Waiting for the server.", len(spool))
        yield CounterMetricFamily("chronotope_agent_spool_dropped_bytes", "Over the limit.", spool.dropped_bytes)
        yield CounterMetricFamily("chronotope_agent_spool_write_errors", "Failed writes.", spool.write_errors)
        yield CounterMetricFamily("chronotope_agent_sent_records", "Records that the server took.", sent.records)
        refused = CounterMetricFamily("chronotope_agent_refused", "What the server refused for ever.", labels=["what"])
        refused.add_metric(["records"], sent.rejected_records)
        refused.add_metric(["batches"], sent.refused_batches)
        yield refused
        yield CounterMetricFamily("chronotope_agent_send_failures", "Tries that failed.", sent.failures)
