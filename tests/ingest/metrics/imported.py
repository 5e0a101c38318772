"""The graph that a file of metrics gives."""

from __future__ import annotations

from pathlib import Path

from chronotope.ingest.importers.source import no_progress
from chronotope.ingest.metrics.importing import MetricsImport
from chronotope.schema.config import Config
from chronotope.schema.migrate import migrate
from chronotope.schema.store import Store
from chronotope.server.graph.answer import Graph
from chronotope.server.graph.question import Question
from chronotope.server.graph.reading import read_graph
from chronotope.server.settings import Settings


def imported_graph(file: Path, end_s: int, seconds: int, times: int = 1) -> Graph:
    """Import a file, several times if so, and return the graph of some seconds and five on both sides."""
    with Store.open("chdb://memory") as store:
        migrate(store)
        for _ in range(times):
            for table, token in MetricsImport(Config()).tables(file, no_progress):
                store.insert("observations", table, token)
        question = Question(start_ms=(end_s - seconds - 5) * 1000, end_ms=(end_s + 5) * 1000)
        return read_graph(store, Settings(), question, (end_s + 60) * 1000).graph
