/** Who is next to whom: a graph's edges as index columns, and the walks over them. */

import type { Graph } from './graph.ts';

export type Direction = 'both' | 'upstream' | 'downstream';

/** Edges by node in compressed rows: those of node `n` are `edges[offsets[n]..offsets[n + 1]]`. */
export interface Adjacency {
  readonly index: ReadonlyMap<string, number>;
  readonly source: Int32Array;
  readonly target: Int32Array;
  readonly offsets: Int32Array;
  readonly edges: Int32Array;
}

/** Index a graph. An edge with an end that is no node has -1 there, and belongs to no row of that end. */
export function adjacencyOf(graph: Graph): Adjacency {
  const index = new Map(graph.nodes.map((node, at) => [node.id, at]));
  const source = Int32Array.from(graph.edges, (edge) => index.get(edge.source) ?? -1);
  const target = Int32Array.from(graph.edges, (edge) => index.get(edge.target) ?? -1);
  const offsets = new Int32Array(graph.nodes.length + 1);
  const ends = (at: number): number[] => (source[at] === target[at] ? [source[at]] : [source[at], target[at]]);
  for (let at = 0; at < source.length; at++) {
    for (const node of ends(at)) if (node >= 0) offsets[node + 1]++;
  }
  for (let node = 0; node < graph.nodes.length; node++) offsets[node + 1] += offsets[node];
  const edges = new Int32Array(offsets[graph.nodes.length]);
  const next = offsets.slice();
  for (let at = 0; at < source.length; at++) {
    for (const node of ends(at)) if (node >= 0) edges[next[node]++] = at;
  }
  return { index, source, target, offsets, edges };
}

/** The edges of a node, by number. */
export function edgesOf(adjacency: Adjacency, node: number): Int32Array {
  return adjacency.edges.subarray(adjacency.offsets[node], adjacency.offsets[node + 1]);
}

export interface Reached {
  /** Hops from the nearest start, by node; -1 where it is not reached. */
  readonly hops: Int32Array;
  /** 1 for each edge on a walk of at most `depth` steps. */
  readonly edges: Uint8Array;
}

/** Walk at most `depth` edges from some nodes, to callers (`upstream`), callees (`downstream`) or both. */
export function reach(adjacency: Adjacency, from: Iterable<number>, depth: number, direction: Direction): Reached {
  const { source, target } = adjacency;
  const hops = new Int32Array(adjacency.offsets.length - 1).fill(-1);
  const edges = new Uint8Array(source.length);
  let frontier = [...from].filter((node) => node >= 0);
  for (const node of frontier) hops[node] = 0;
  for (let step = 1; step <= depth && frontier.length > 0; step++) {
    const next: number[] = [];
    for (const node of frontier) {
      for (const edge of edgesOf(adjacency, node)) {
        const forward = source[edge] === node;
        if ((direction === 'upstream' && forward) || (direction === 'downstream' && !forward)) continue;
        const other = forward ? target[edge] : source[edge];
        if (other < 0) continue;
        edges[edge] = 1;
        if (hops[other] >= 0) continue;
        hops[other] = step;
        next.push(other);
      }
    }
    frontier = next;
  }
  return { hops, edges };
}

/** The part of a graph within `depth` hops of some services. None of them there: an empty graph. */
export function neighbourhood(graph: Graph, ids: readonly string[], depth: number, direction: Direction): Graph {
  const adjacency = adjacencyOf(graph);
  const start = ids.map((id) => adjacency.index.get(id) ?? -1);
  const reached = reach(adjacency, start, depth, direction);
  return {
    nodes: graph.nodes.filter((_, at) => reached.hops[at] >= 0),
    edges: graph.edges.filter((_, at) => reached.edges[at] === 1),
  };
}
