"""From parameters to the bytes of an answer: the same for an HTTP route and for a command.

Invariant: the bytes of an answer depend on the store, the parameters and `now` alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from chronotope.schema.store import Store
from chronotope.server.api.parameters import GraphParameters
from chronotope.server.graph.formats import render
from chronotope.server.graph.reading import read_graph
from chronotope.server.settings import Settings

JSON = "application/json"
# Data may still come for a window that ended only now; nothing of it is kept by caches.
SETTLED_AFTER_MS = 60_000

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Answer:
    """A body, its media type, and for a past window a tag made from the data behind it."""

    body: bytes
    media_type: str = JSON
    tag: str = ""


def answer_graph(store: Store, settings: Settings, parameters: GraphParameters, now_ms: int) -> Answer:
    """Return the graph in the format asked for."""
    question = parameters.question(now_ms)
    past = question.end_ms <= now_ms - SETTLED_AFTER_MS
    reading = read_graph(store, settings, question, now_ms, tagged=past)
    tag = f"{parameters.format}-{reading.tag}" if past else ""
    if parameters.format == "json":
        return Answer(_encoder.encode(reading.graph), JSON, tag)
    body, media_type = render(reading.graph, parameters.format)
    return Answer(body, media_type, tag)
