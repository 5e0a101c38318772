/** Graphs in a few words, for tests. */

import type { Graph, GraphEdge, GraphNode, Measures } from '../src/index.ts';

export function node(id: string, more: Partial<GraphNode> = {}): GraphNode {
  const [namespace, name] = id.includes('/') ? id.split('/') : ['', id];
  return { id, name, namespace, kind: 'service', attributes: {}, layers: ['trace'], callsPerSecond: null, errorRatio: null, ...more };
}

export function measures(callsPerSecond: number | null, more: Partial<Measures> = {}): Measures {
  return { callsPerSecond, errorRatio: 0, latencyMs: null, bytesPerSecond: null, connections: null, ...more };
}

export function edge(source: string, target: string, more: Partial<GraphEdge> = {}): GraphEdge {
  return {
    id: `${source}>${target}>${more.protocol ?? 'http'}`,
    source,
    target,
    protocol: 'http',
    layers: ['trace'],
    via: [],
    confidence: 1,
    inferred: false,
    firstSeen: null,
    lastSeen: null,
    measures: { trace: measures(1) },
    ...more,
  };
}

/** `graphOf('a>b', 'b>c')`: nodes are the ends. */
export function graphOf(...arrows: string[]): Graph {
  const edges = arrows.map((arrow) => edge(...(arrow.split('>') as [string, string])));
  const ids = new Set(edges.flatMap(({ source, target }) => [source, target]));
  return { nodes: [...ids].map((id) => node(id)), edges };
}
