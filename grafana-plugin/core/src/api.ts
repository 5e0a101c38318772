/** Graphs from the answers of the HTTP API. Unknown kinds, layers or missing fields never throw: they become unknown. */

import { KINDS, LAYERS, STATUSES } from './graph.ts';
import type { Change, Graph, GraphEdge, GraphNode, Kind, Layer, Measures, Status } from './graph.ts';

type Json = Readonly<Record<string, unknown>>;

/** The graph of an answer of `/api/v1/graph`. */
export function graphFromApi(answer: unknown): Graph {
  const { seconds } = object(object(answer).window);
  const length = number(seconds) || 1;
  return {
    nodes: list(object(answer).nodes).map((node) => nodeOf(object(node), length)),
    edges: list(object(answer).edges).map((edge) => edgeOf(object(edge), length)),
  };
}

/** The graph of an answer of `/api/v1/diff`: edges of either window, each with its status. */
export function graphFromDiff(answer: unknown): Graph {
  const whole = object(answer);
  const before = number(object(whole.before).seconds) || 1;
  const after = number(object(whole.after).seconds) || 1;
  return {
    nodes: list(whole.nodes).map((node) => ({ ...nodeOf(object(node), after), status: statusOf(object(node).status) })),
    edges: list(whole.edges).map((item) => {
      const edge = object(item);
      return {
        ...edgeOf({ ...edge, evidence: edge.after }, after),
        status: statusOf(edge.status),
        before: evidenceOf(object(edge.before), before),
        changes: list(edge.changes).map((change) => changeOf(object(change))),
      };
    }),
  };
}

function nodeOf(node: Json, seconds: number): GraphNode {
  const inbound = object(node.inbound);
  const seen = inbound.ipc ?? inbound.trace;
  const calls = seen ? number(object(seen).calls) : null;
  const errors = seen ? number(object(seen).errors) : null;
  const members = number(node.members);
  return {
    id: text(node.id),
    name: text(node.name) || text(node.id),
    namespace: text(node.namespace),
    kind: kindOf(node.kind),
    attributes: object(node.attributes) as Record<string, string>,
    layers: layersOf(node.layers),
    callsPerSecond: calls === null ? null : calls / seconds,
    errorRatio: calls ? Math.min((errors ?? 0) / calls, 1) : null,
    ...(members === null ? {} : { members }),
  };
}

function edgeOf(edge: Json, seconds: number): GraphEdge {
  return {
    id: text(edge.id),
    source: text(edge.source),
    target: text(edge.target),
    protocol: text(edge.protocol),
    layers: layersOf(edge.layers),
    via: list(edge.via).map(text),
    confidence: number(edge.confidence) ?? 1,
    inferred: edge.inferred === true,
    firstSeen: text(edge.first_seen) || null,
    lastSeen: text(edge.last_seen) || null,
    measures: evidenceOf(object(edge.evidence), seconds),
  };
}

function evidenceOf(evidence: Json, seconds: number): Partial<Record<Layer, Measures>> {
  const found: Partial<Record<Layer, Measures>> = {};
  for (const layer of LAYERS) {
    if (evidence[layer]) found[layer] = measuresOf(object(evidence[layer]), seconds);
  }
  return found;
}

function measuresOf(own: Json, seconds: number): Measures {
  const latency = object(own.latency_ms ?? own.rtt_ms);
  const sent = number(own.bytes_sent);
  const received = number(own.bytes_received);
  const bytes = sent === null && received === null ? null : ((sent ?? 0) + (received ?? 0)) / seconds;
  return {
    callsPerSecond: number(own.calls_per_second),
    errorRatio: number(own.error_ratio) ?? failedShare(own),
    latencyMs: number(latency.p95) ?? number(latency.mean),
    bytesPerSecond: bytes,
    connections: number(own.connections),
  };
}

/** Of the network, the share of connections that failed stands for errors. */
function failedShare(own: Json): number | null {
  const failed = number(own.failed_connections);
  const opened = number(own.connections);
  return failed === null || opened === null || failed + opened === 0 ? null : failed / (failed + opened);
}

function changeOf(change: Json): Change {
  return {
    layer: layersOf([change.layer])[0] ?? 'trace',
    measure: text(change.measure),
    before: number(change.before) ?? 0,
    after: number(change.after) ?? 0,
    pValue: number(change.p_value) ?? 1,
  };
}

function kindOf(value: unknown): Kind {
  return KINDS.find((kind) => kind === value) ?? 'unknown';
}

function statusOf(value: unknown): Status {
  return STATUSES.find((status) => status === value) ?? 'unchanged';
}

function layersOf(value: unknown): Layer[] {
  const given = list(value);
  return LAYERS.filter((layer) => given.includes(layer));
}

function object(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function number(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}
