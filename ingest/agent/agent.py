"""The whole agent: it opens and closes programs, collector, spool and sender in order.

Invariant: what was collected before the agent stops is sent, or is in the spool's directory. What neither can take is
counted.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from chronotope.bpf.program import FlowProgram, Limits
from chronotope.bpf.requirements import cgroup_root, missing_capabilities, require_capabilities
from chronotope.ingest.agent.collector import Collector, Ours
from chronotope.ingest.agent.metrics import AgentMetrics
from chronotope.ingest.agent.sender import Sender
from chronotope.ingest.agent.spool import Spool
from chronotope.ingest.hosts.naming import Naming
from chronotope.ingest.hosts.processes import Processes
from chronotope.schema.config.agent import AgentSection

_LAST_SEND_S = 10.0
_LOG_EVERY_S = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """The settings of the command line."""

    server: str
    interval_s: int = 5
    spool: Path | None = None
    spool_limit_bytes: int = 256 * 1024 * 1024
    host: str = ""


class FlowAgent:
    """Runs from `with` to its end."""

    def __init__(self, settings: AgentSettings, config: AgentSection) -> None:
        """Load everything, and begin to watch.

        Raises:
            KernelRefused, UnknownType, CannotCompile: this host cannot run it; the message says what is missing.
            SpoolUnusable: the spool's directory.
            InvalidValue: the server's address.
        """
        require_capabilities()
        self._settings = settings
        self._spool = Spool(settings.spool, settings.spool_limit_bytes)
        self._sender = Sender(settings.server, self._spool)
        self.limits = Limits(
            connections=config.max_connections,
            detailed=config.detailed_connections,
            pairs=config.max_pairs,
            datagrams=config.max_pairs,
        )
        self._program = FlowProgram(self.limits, own_pid=os.getpid(), cgroup=_cgroup(), datagrams=config.datagrams)
        ours = Ours(os.getpid(), lambda: self._sender.sent.ours)
        host = settings.host or socket.gethostname()
        processes = Processes(Naming(config.rules))
        self._collector = Collector(self._program, processes, self._spool.put, host, ours)
        self.metrics = AgentMetrics(self._program, self.limits, self._collector, self._spool, self._sender.sent)

    def __enter__(self) -> Self:
        self._sender.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._collector.close()
        self._sender.stop(_LAST_SEND_S)
        self._log("stopped")
        self._program.close()

    def run(self, stopping: threading.Event) -> None:
        """Collect and send until `stop` is set."""
        threading.Thread(target=self._report, args=(stopping,), name="report", daemon=True).start()
        self._collector.run(self._settings.interval_s, stopping)

    def _report(self, stopping: threading.Event) -> None:
        while not stopping.wait(_LOG_EVERY_S):
            self._log("running")

    def _log(self, what: str) -> None:
        counts = self._program.counters()
        lost = {name: value for name, value in counts.items() if name.startswith("lost_") and value}
        logger.log(
            logging.WARNING if lost or self._spool.dropped_batches else logging.INFO,
            "agent %s",
            what,
            extra={
                "records": self._collector.records,
                "sent": self._sender.sent.records,
                "waiting_batches": len(self._spool),
                "dropped_batches": self._spool.dropped_batches,
                **{name: counts[name] for name in ("opened", "closed", "found", "datagrams")},
                **lost,
            },
        )


def _cgroup() -> Path | None:
    """The cgroup of all sockets; None, with a warning, where its hooks can't be had."""
    root = cgroup_root()
    if root is None:
        logger.warning("cgroup2 is not mounted: UDP is not seen, and every read of a connection is watched")
    elif "CAP_NET_ADMIN" in missing_capabilities():
        logger.warning("CAP_NET_ADMIN is missing: UDP is not seen, and every read of a connection is watched")
        root = None
    return root
