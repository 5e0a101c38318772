"""What OpenAPI says about the routes that take data. `ingest` provides the routes themselves.

Invariant: this is the text of the contract; nothing here parses anything.
"""

from __future__ import annotations

from typing import Any

from chronotope.schema.observations import MOST_CODES

Json = dict[str, Any]

_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_NAME = {"type": "string", "minLength": 1}
_COUNT = {"type": "integer", "minimum": 0}
_KIND = {"enum": ["service", "database", "messaging", "external", "intermediary", "unknown"]}
_ATTRIBUTES = {"type": "object", "additionalProperties": {"type": "string"}}
_TIME = {"anyOf": [{"type": "string"}, {"type": "number"}], "description": "RFC 3339, Unix seconds or milliseconds."}

OBSERVATION: Json = {
    "type": "object",
    "required": ["time", "layer", "source", "target"],
    "properties": {
        "time": _TIME,
        "interval_s": {"type": "integer", "minimum": 1},
        "layer": {"enum": ["network", "ipc", "trace"]},
        "source": _NAME,
        "target": _NAME,
        "source_kind": _KIND,
        "target_kind": _KIND,
        "protocol": _NAME,
        "reporter": {"enum": ["source", "target"]},
        "via": {"type": "array", "items": _NAME},
        "calls": _COUNT,
        "errors": _COUNT,
        "connections": _COUNT,
        "failed_connections": _COUNT,
        "bytes_sent": _COUNT,
        "bytes_received": _COUNT,
        "retransmits": _COUNT,
        "latency_ms_sum": {"type": "number", "minimum": 0},
        "latency_ms_buckets": {
            "type": "array",
            "items": {"type": "array", "prefixItems": [{"type": "number"}, _COUNT], "minItems": 2, "maxItems": 2},
        },
        "codes": {
            "type": "object",
            "additionalProperties": _COUNT,
            "maxProperties": MOST_CODES,
            "description": "Response code → how many of the calls had it.",
        },
        "source_attributes": _ATTRIBUTES,
        "target_attributes": _ATTRIBUTES,
    },
}

IDENTITY: Json = {
    "type": "object",
    "required": ["address", "service"],
    "properties": {
        "address": {"type": "string", "description": "An IP address, a CIDR or a host name."},
        "port": {"type": "integer", "minimum": 1, "maximum": 65535},
        "service": _NAME,
        "namespace": {"type": "string"},
        "kind": _KIND,
        "from": _TIME,
        "to": _TIME,
        "attributes": _ATTRIBUTES,
    },
}

CHANGE: Json = {
    "type": "object",
    "required": ["type", "service"],
    "properties": {
        "time": _TIME,
        "type": _NAME | {"description": "`deployment`, `configuration` or a word of your own."},
        "service": _NAME,
        "title": {"type": "string"},
        "attributes": _ATTRIBUTES,
        "url": {"type": "string"},
    },
}

_PORT = {"type": "integer", "minimum": 0, "maximum": 65535}
_ADDRESS = {"type": "string", "description": "IPv4 or IPv6; IPv4-mapped IPv6 is IPv4."}

FLOW: Json = {
    "type": "object",
    "required": ["start", "client_address", "server_address", "observer"],
    "properties": {
        "start": _TIME,
        "end": _TIME,
        "client_address": _ADDRESS,
        "client_port": {**_PORT, "description": "Absent when several connections are summed."},
        "server_address": _ADDRESS,
        "server_port": _PORT,
        "transport": {"enum": ["tcp", "udp"]},
        "observer": {"enum": ["client", "server"], "description": "On whose host it was seen."},
        "direction": {
            "enum": ["syn", "port", "unknown"],
            "description": "How the roles are known: by who sent SYN, by which port is a service's, or not at "
            "all; absent: the sender's word is taken. An edge that only the network sees, and of which it says nothing "
            "better than `port` or `unknown`, has a confidence below 1.",
        },
        "connections": {**_COUNT, "description": "Opened in the interval."},
        "failed_connections": _COUNT,
        "active": _COUNT,
        "bytes_sent": {**_COUNT, "description": "From client to server."},
        "bytes_received": _COUNT,
        "retransmits": _COUNT,
        "rtt_us_sum": _COUNT,
        "rtt_count": _COUNT,
        "translated_server_address": {**_ADDRESS, "description": "Behind address translation, where it is known."},
        "translated_server_port": _PORT,
        "service": {"type": "string", "description": "Of the observing side, as are namespace, instance and host."},
        "namespace": {"type": "string"},
        "instance": {"type": "string"},
        "host": {"type": "string"},
    },
}

_TAKEN: Json = {
    "type": "object",
    "required": ["accepted", "rejected", "errors"],
    "properties": {
        "accepted": _COUNT,
        "rejected": _COUNT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["line", "detail"],
                "properties": {"line": {"type": "integer", "minimum": 1}, "detail": {"type": "string"}},
            },
        },
    },
}


def _refusals(*statuses: str) -> Json:
    texts = {
        "400": "The body is not what its content type says.",
        "413": "The body is too large.",
        "415": "The content type or encoding is not accepted.",
        "429": "Too much is waiting; try again after `Retry-After` seconds.",
        "503": "The store cannot take it now; try again after `Retry-After` seconds.",
    }
    return {status: {"description": texts[status], "content": _PROBLEM} for status in statuses}


def _records(summary: str, record: Json) -> Json:
    responses: Json = {"200": {"description": "What was taken, and which lines were not.", "content": _json(_TAKEN)}}
    responses["422"] = {
        "description": "Nothing was taken.",
        "content": {**_json(_TAKEN), **_PROBLEM},
    }
    return {
        "post": {
            "summary": summary,
            "parameters": [
                {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "required": False,
                    "description": "A request repeated with the same key counts once.",
                    "schema": {"type": "string"},
                }
            ],
            "requestBody": {
                "required": True,
                "description": "One record a line, or the same names as columns of an Arrow IPC stream.",
                "content": {
                    "application/x-ndjson": {"schema": record},
                    "application/vnd.apache.arrow.stream": {"schema": {"type": "string", "format": "binary"}},
                },
            },
            "responses": responses | _refusals("400", "413", "415", "429", "503"),
        }
    }


def _also_json(item: Json, record: Json) -> Json:
    """Take one record or an array of them as JSON too."""
    item["post"]["requestBody"]["content"]["application/json"] = {
        "schema": {"anyOf": [record, {"type": "array", "items": record}]}
    }
    return item


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


_OTLP: Json = {
    "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
    "application/json": {"schema": {"type": "object"}},
}

WRITING: dict[str, Json] = {
    "/v1/traces": {
        "post": {
            "summary": "OTLP spans, protobuf or JSON, also gzip.",
            "requestBody": {"required": True, "description": "ExportTraceServiceRequest.", "content": _OTLP},
            "responses": {"200": {"description": "ExportTraceServiceResponse; partial success.", "content": _OTLP}}
            | _refusals("400", "413", "415", "429", "503"),
        }
    },
    "/api/v1/observations": _records("Edge observations.", OBSERVATION),
    "/api/v1/events": _also_json(_records("Deployments and other changes.", CHANGE), CHANGE),
    "/api/v1/flows": _records("Flow records of agents: connections and bytes between two addresses.", FLOW),
    "/api/v1/identities": _records("Ownership ranges: address → service from … to ….", IDENTITY),
}
