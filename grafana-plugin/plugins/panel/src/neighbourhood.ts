/** The part of a graph around some services. Pure. */

import type { Graph } from '../../../core/src/index.ts';

/** A graph of what is at most `hops` calls away from a service, against or along the calls; all when it isn't there. */
export function neighbourhood(graph: Graph, focus: string, hops: number): Graph {
  if (!graph.nodes.some((node) => node.id === focus)) {
    return graph;
  }
  const callers = reached(focus, hops, graph, (edge) => [edge.target, edge.source]);
  const callees = reached(focus, hops, graph, (edge) => [edge.source, edge.target]);
  const kept = new Set([...callers, ...callees]);
  return {
    nodes: graph.nodes.filter((node) => kept.has(node.id)),
    edges: graph.edges.filter(({ source, target }) => [callers, callees].some((own) => own.has(source) && own.has(target))),
  };
}

type Step = (edge: Graph['edges'][number]) => [from: string, to: string];

function reached(start: string, hops: number, graph: Graph, step: Step): Set<string> {
  const next = new Map<string, string[]>();
  for (const [from, to] of graph.edges.map(step)) {
    const known = next.get(from);
    if (known) {
      known.push(to);
    } else {
      next.set(from, [to]);
    }
  }
  const seen = new Set([start]);
  let rim = [start];
  for (let hop = 0; hop < hops && rim.length > 0; hop++) {
    rim = rim.flatMap((id) => next.get(id) ?? []).filter((id) => !seen.has(id) && seen.add(id));
  }
  return seen;
}

/** Services whose id holds a text; the order of the graph. */
export function found(graph: Graph, text: string): string[] {
  const wanted = text.trim().toLowerCase();
  return wanted ? graph.nodes.map(({ id }) => id).filter((id) => id.toLowerCase().includes(wanted)) : [];
}
