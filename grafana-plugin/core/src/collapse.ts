/**
 * Make one node of all services with one value of an attribute, in the browser: for frames that the server did not
 * group already.
 *
 * Invariant: rates between two groups are the sums of those between their members, layer by layer; what passes inside
 * of a group is not drawn. A service without the attribute stays itself.
 */

import { LAYERS } from './graph.ts';
import type { Graph, GraphEdge, GraphNode, Layer, Measures } from './graph.ts';

/** Attributes that can group a graph: `namespace`, `kind`, and those of its nodes, each with fewer values than nodes. */
export function groupings(graph: Graph): string[] {
  const values = new Map<string, Set<string>>();
  for (const node of graph.nodes) {
    for (const key of ['namespace', 'kind', ...Object.keys(node.attributes)]) {
      const value = valueOf(node, key);
      if (value) values.set(key, (values.get(key) ?? new Set()).add(value));
    }
  }
  return [...values].filter(([, own]) => own.size > 1 && own.size < graph.nodes.length).map(([key]) => key);
}

/** Return the graph of groups. `except`: values whose services stay themselves (a group that was opened). */
export function collapse(graph: Graph, attribute: string, except: ReadonlySet<string> = new Set()): Graph {
  const groupOf = new Map<string, string>();
  const members = new Map<string, GraphNode[]>();
  const taken = new Set(graph.nodes.map((node) => node.id));
  for (const node of graph.nodes) {
    const value = valueOf(node, attribute);
    const own = !value || except.has(value);
    const group = own ? node.id : taken.has(value) ? `${attribute}=${value}` : value;
    groupOf.set(node.id, group);
    append(members, group, node);
  }
  const nodes = [...members].map(([id, own]) => groupNode(id, own, attribute));
  return { nodes, edges: groupEdges(graph.edges, groupOf) };
}

function append<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const own = lists.get(key);
  if (own) own.push(item);
  else lists.set(key, [item]);
}

function valueOf(node: GraphNode, attribute: string): string {
  if (attribute === 'namespace') return node.namespace;
  if (attribute === 'kind') return node.kind;
  return node.attributes[attribute] ?? '';
}

function groupNode(id: string, members: readonly GraphNode[], attribute: string): GraphNode {
  const first = members[0];
  if (members.length === 1 && first.id === id) return first;
  const value = valueOf(first, attribute);
  const rated = members.filter((node) => node.callsPerSecond !== null);
  const calls = rated.reduce((sum, node) => sum + (node.callsPerSecond ?? 0), 0);
  const errors = rated.reduce((sum, node) => sum + (node.callsPerSecond ?? 0) * (node.errorRatio ?? 0), 0);
  const status = members.every((node) => node.status === first.status) ? first.status : 'changed';
  return {
    id,
    name: value,
    namespace: attribute === 'namespace' ? value : '',
    kind: members.every((node) => node.kind === first.kind) ? first.kind : 'service',
    attributes: { [attribute]: value },
    layers: LAYERS.filter((layer) => members.some((node) => node.layers.includes(layer))),
    callsPerSecond: rated.length ? calls : null,
    errorRatio: calls > 0 ? errors / calls : null,
    members: members.length,
    ...(status ? { status } : {}),
  };
}

function groupEdges(edges: readonly GraphEdge[], groupOf: ReadonlyMap<string, string>): GraphEdge[] {
  const joined = new Map<string, GraphEdge[]>();
  for (const edge of edges) {
    const source = groupOf.get(edge.source) ?? edge.source;
    const target = groupOf.get(edge.target) ?? edge.target;
    if (source === target) continue;
    const key = JSON.stringify([source, target, edge.protocol]);
    append(joined, key, edge);
  }
  return [...joined].map(([key, own]) => {
    const [source, target] = JSON.parse(key) as [string, string, string];
    return own.length === 1 && own[0].source === source && own[0].target === target
      ? own[0]
      : joinEdges(key, source, target, own);
  });
}

function joinEdges(id: string, source: string, target: string, own: readonly GraphEdge[]): GraphEdge {
  const first = own[0];
  const status = own.every((edge) => edge.status === first.status) ? first.status : 'changed';
  const before = own.some((edge) => edge.before) ? { before: addLayers(own.map((edge) => edge.before ?? {})) } : {};
  return {
    id,
    source,
    target,
    protocol: first.protocol,
    layers: LAYERS.filter((layer) => own.some((edge) => edge.layers.includes(layer))),
    via: [...new Set(own.flatMap((edge) => edge.via))],
    confidence: Math.min(...own.map((edge) => edge.confidence)),
    inferred: own.every((edge) => edge.inferred),
    firstSeen: own.map((edge) => edge.firstSeen).reduce(earlier, null),
    lastSeen: own.map((edge) => edge.lastSeen).reduce((a, b) => (a && b ? (a > b ? a : b) : (a ?? b)), null),
    measures: addLayers(own.map((edge) => edge.measures)),
    members: own.length,
    ...before,
    ...(status ? { status } : {}),
  };
}

function earlier(a: string | null, b: string | null): string | null {
  if (!a || !b) return a ?? b;
  return a < b ? a : b;
}

function addLayers(all: readonly Readonly<Partial<Record<Layer, Measures>>>[]): Partial<Record<Layer, Measures>> {
  const sums: Partial<Record<Layer, Measures>> = {};
  for (const layer of LAYERS) {
    const own = all.map((measures) => measures[layer]).filter((found) => found !== undefined);
    if (own.length) sums[layer] = addMeasures(own);
  }
  return sums;
}

/** Rates add up; shares and latencies are means, weighted by calls (of equal weight where nobody counted calls). */
function addMeasures(own: readonly Measures[]): Measures {
  const mean = (name: 'errorRatio' | 'latencyMs'): number | null => {
    const known = own.filter((measures) => measures[name] !== null);
    const counted = known.some((measures) => measures.callsPerSecond !== null);
    const weight = (measures: Measures): number => (counted ? (measures.callsPerSecond ?? 0) : 1);
    const weights = known.reduce((sum, measures) => sum + weight(measures), 0);
    return weights ? known.reduce((sum, measures) => sum + weight(measures) * (measures[name] ?? 0), 0) / weights : null;
  };
  const sum = (name: 'callsPerSecond' | 'bytesPerSecond' | 'connections'): number | null => {
    const known = own.map((measures) => measures[name]).filter((value) => value !== null);
    return known.length ? known.reduce((a, b) => a + b, 0) : null;
  };
  return {
    callsPerSecond: sum('callsPerSecond'),
    errorRatio: mean('errorRatio'),
    latencyMs: mean('latencyMs'),
    bytesPerSecond: sum('bytesPerSecond'),
    connections: sum('connections'),
  };
}
