"""The graph that a file of metrics gives."""

from __future__ import annotations

from pathlib import Path

from chronotope.ingest.files.spans.formats import no_progress
from chronotope.ingest.metrics.sources.files import MetricsImport
from chronotope.schema.config.config import Config
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store
from chronotope.server.evidence.question import Question
from chronotope.server.evidence.settings import Settings
from chronotope.server.graph.answer import Graph
from chronotope.server.graph.reading import read_graph


def imported_graph(file: Path, end_s: int, seconds: int, times: int = 1) -> Graph:
    """Import a file, several times if so, and return the graph of some seconds and five on both sides."""
    with Store.open("chdb://memory") as store:
        migrate(store)
        for _ in range(times):
            for table, token in MetricsImport(Config()).tables(file, no_progress):
                store.insert("observations", table, token)
        question = Question(start_ms=(end_s - seconds - 5) * 1000, end_ms=(end_s + 5) * 1000)
        return read_graph(store, Settings(), question, (end_s + 60) * 1000).graph
