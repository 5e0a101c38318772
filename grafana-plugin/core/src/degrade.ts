/**
 * What is drawn of a graph that is too large to be read, or to be drawn fluently: groups first, then the busiest edges.
 * On purpose, and said: never a frozen page. Pure.
 */

import { collapse, groupings } from './collapse.ts';
import { volume } from './graph.ts';
import type { Graph } from './graph.ts';

export const MOST_NODES = 2500;
export const MOST_EDGES = 12_000;

export interface Degraded {
  readonly graph: Graph;
  /** The attribute that grouped it, or an empty text. */
  readonly groupedBy: string;
  /** Edges left out: the least busy. */
  readonly leftOut: number;
}

/** Whether a graph is drawn as it is. */
export function fits(graph: Graph): boolean {
  return graph.nodes.length <= MOST_NODES && graph.edges.length <= MOST_EDGES;
}

/**
 * Reduce a graph that does not fit: to groups by namespace, else by the attribute that makes the most groups that fit;
 * if none does, to its busiest edges. `opened`: groups whose services are shown all the same.
 */
export function degrade(graph: Graph, opened: ReadonlySet<string> = new Set()): Degraded {
  if (fits(graph)) return { graph, groupedBy: '', leftOut: 0 };
  const found = groupings(graph);
  const order = [...found.filter((key) => key === 'namespace'), ...found.filter((key) => key !== 'namespace' && key !== 'kind')];
  for (const groupedBy of order) {
    const grouped = collapse(graph, groupedBy, opened);
    if (fits(grouped)) return { graph: grouped, groupedBy, leftOut: 0 };
  }
  return { graph: busiest(graph), groupedBy: '', leftOut: Math.max(0, graph.edges.length - MOST_EDGES) };
}

function busiest(graph: Graph): Graph {
  const order = [...graph.edges].sort((a, b) => volume(b) - volume(a) || (a.id < b.id ? -1 : 1));
  const kept = new Set<string>();
  const edges = order.filter((edge, at) => {
    const fresh = [edge.source, edge.target].filter((id) => !kept.has(id));
    if (at >= MOST_EDGES || kept.size + fresh.length > MOST_NODES) return false;
    for (const id of fresh) kept.add(id);
    return true;
  });
  return { nodes: graph.nodes.filter((node) => kept.has(node.id)), edges };
}
