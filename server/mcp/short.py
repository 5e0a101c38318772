"""Short forms of the API's answers, for a reader that pays for each word. Pure.

Invariant: what is left out is counted (`of`). Names and numbers are those of the API.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]


def short_graph(answer: Json, most: int) -> Json:
    """Return a graph's busiest edges and their services."""
    edges = sorted(answer["edges"], key=lambda edge: -_calls(edge["evidence"]))[:most]
    ends = {end for edge in edges for end in (edge["source"], edge["target"])}
    nodes = [_node(node) for node in answer["nodes"] if node["id"] in ends]
    return {
        "window": _window(answer["window"]),
        "services": nodes,
        "edges": [_edge(edge) for edge in edges],
        "of": {"services": answer["totals"]["nodes"], "edges": answer["totals"]["edges"]},
    }


def short_diff(answer: Json, most: int) -> Json:
    """Return what changed, edges that came or went first."""
    changed = [edge for edge in answer["edges"] if edge["status"] != "unchanged"]
    return {
        "before": _window(answer["before"]),
        "after": _window(answer["after"]),
        "summary": answer["summary"],
        "edges": [_changed(edge) for edge in changed[:most]],
        "layers_not_alike": [one["explanation"] for one in answer.get("coverage", [])],
        "of": {"edges": len(changed)},
    }


def short_blast_radius(answer: Json, most: int) -> Json:
    """Return the nearest callers."""
    callers = [
        {"service": one["service"], "hops": one["hops"], "share_of_its_calls": one["share"]}
        for one in answer["callers"]
    ]
    return _noted(answer) | {
        "window": _window(answer["window"]),
        "service": answer["service"],
        "callers": callers[:most],
        "of": {"callers": answer["totals"]["callers"], "direct": answer["totals"]["direct"]},
    }


def short_paths(answer: Json, most: int) -> Json:
    """Return the shortest paths as texts."""
    paths = [" → ".join(path["services"]) for path in answer["paths"]]
    return _noted(answer) | {
        "window": _window(answer["window"]),
        "paths": paths[:most],
        "of": {"paths": len(paths), "more_exist": answer["truncated"]},
    }


def short_culprits(answer: Json, most: int) -> Json:
    """Return culprits with their reasons in words."""
    culprits = [
        {
            "rank": one["rank"],
            "service": one["service"],
            "probability": one["probability"],
            "because": [reason["text"] for reason in one["reasons"]],
            "changes": [change["text"] for change in one["changes"][:5]],
        }
        for one in answer["culprits"]
    ]
    return _noted(answer) | {
        "window": _window(answer["window"]),
        "compared_with": _window(answer["baseline"]),
        "degradation": answer["degradation"],
        "probability": answer["probability"],
        "culprits": culprits[:most],
        "of": {"culprits": len(culprits)},
    }


def short_events(answer: Json, most: int) -> Json:
    """Return the latest events, a line each."""
    events = [_event(event) for event in answer["events"]]
    return {"events": events[-most:], "of": {"events": len(events), "earlier_exist": answer["truncated"]}}


def _window(window: Mapping[str, Any]) -> str:
    return f"{window['from']} to {window['to']}"


def _noted(answer: Json) -> Json:
    return {"note": answer["note"]} if answer.get("note") else {}


def _calls(evidence: Mapping[str, Any]) -> int:
    return max((own.get("calls", own.get("connections", 0)) for own in evidence.values()), default=0)


def _node(node: Json) -> Json:
    found = {"id": node["id"], "kind": node["kind"]}
    return found | ({"team": node["attributes"]["team"]} if "team" in node["attributes"] else {})


def _edge(edge: Json) -> Json:
    found = {"edge": f"{edge['source']} → {edge['target']}", "protocol": edge["protocol"]}
    for layer, own in edge["evidence"].items():
        found[layer] = _measured(own)
    return found | ({"via": edge["via"]} if edge["via"] else {})


def _measured(own: Mapping[str, Any]) -> str:
    if "calls" not in own:
        return f"{own['connections']} connections, {own['failed_connections']} failed"
    ratio, latency = own["error_ratio"], own["latency_ms"]
    texts = [f"{own['calls_per_second']:g} calls/s"]
    texts += [f"{ratio:.2%} errors"] if ratio else []
    texts += [f"{name} {latency[name]:.3g} ms" for name in ("mean", "p95") if latency.get(name) is not None]
    return ", ".join(texts)


def _changed(edge: Json) -> Json:
    found = {"edge": f"{edge['source']} → {edge['target']}", "protocol": edge["protocol"], "status": edge["status"]}
    changes = [
        f"{one['layer']} {one['measure']} {one['before']:.4g} → {one['after']:.4g}" for one in edge.get("changes", [])
    ]
    return found | ({"changes": changes} if changes else {})


def _event(event: Json) -> str:
    edge: Mapping[str, str] | None = event.get("edge")
    about = f"{edge['source']} → {edge['target']} ({edge['protocol']})" if edge else event.get("service", "")
    rest: Iterable[str] = (event.get("title", ""), f"rule {event['rule']}" if event.get("rule") else "")
    return " ".join([event["time"], event["type"], about, *(text for text in rest if text)])
