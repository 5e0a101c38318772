"""The reference of chronotope's own metrics as Markdown, read from the code that makes them.

Invariant: a metric is made by a call that writes its name, its help and its labels as literals; one that does not is an
error here, so that none is missing from the reference.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import chronotope.ingest
import chronotope.server

_PREFIX = "chronotope_"
# What makes a metric → its type, and the position of its labels (those without take them by name alone).
_KINDS = {
    "Counter": ("counter", 2),
    "CounterMetricFamily": ("counter", None),
    "Gauge": ("gauge", 2),
    "GaugeMetricFamily": ("gauge", None),
    "Histogram": ("histogram", 2),
}
_HELP_AT = 1
_ROOMS = (chronotope.ingest, chronotope.server)


class Metric(NamedTuple):
    """A metric as Prometheus sees it."""

    name: str
    kind: str
    labels: Sequence[str]
    help: str


def metric_reference() -> str:
    """Return all metrics, by name."""
    lines = ["| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
    for metric in own_metrics():
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(lines) + "\n"


def own_metrics() -> list[Metric]:
    """Return the metrics that the server and the agent make, by name."""
    found = []
    for room in _ROOMS:
        for path in sorted(Path(str(room.__file__)).parent.rglob("*.py")):
            text = path.read_text("utf-8")
            if _PREFIX not in text:
                continue
            tree = ast.parse(text)
            calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _makes_metric(node)]
            found += [_metric(call, tree) for call in calls]
    return sorted(found)


def _makes_metric(call: ast.Call) -> bool:
    named = bool(call.args) and str(getattr(call.args[0], "value", "")).startswith(_PREFIX)
    return named and isinstance(call.func, ast.Name) and call.func.id in _KINDS


def _metric(call: ast.Call, tree: ast.Module) -> Metric:
    assert isinstance(call.func, ast.Name)
    kind, labels_at = _KINDS[call.func.id]
    name = str(ast.literal_eval(call.args[0])) + ("_total" if kind == "counter" else "")
    labels = {keyword.arg: keyword.value for keyword in call.keywords}.get("labels")
    if labels_at is not None and len(call.args) > labels_at:
        labels = call.args[labels_at]
    names = () if labels is None else tuple(ast.literal_eval(_meant(labels, tree)))
    return Metric(name, kind, names, str(ast.literal_eval(call.args[_HELP_AT])))


def _meant(given: ast.expr, tree: ast.Module) -> ast.expr:
    """Return the literal itself, or that of the name which stands for it."""
    if not isinstance(given, ast.Name):
        return given
    return next(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == given.id for target in node.targets)
    )
