/** The graph as a table: what the drawing shows, for screen readers, for copying, and for whoever prefers it. Pure. */

import { edgeLabel } from './format.ts';
import { headline } from './graph.ts';
import type { Graph, GraphEdge } from './graph.ts';

export const COLUMNS = ['Caller', 'Callee', 'Protocol', 'Rate', 'Errors', 'Latency', 'Layers', 'Via', 'Status'] as const;

export interface TableRow {
  readonly id: string;
  readonly cells: readonly string[];
}

/** One row an edge, the busiest first; edges that changed before all others. */
export function tableRows(graph: Graph): TableRow[] {
  const worth = (edge: GraphEdge): number => headline(edge)?.callsPerSecond ?? 0;
  const told = (edge: GraphEdge): number => (edge.status && edge.status !== 'unchanged' ? 1 : 0);
  return [...graph.edges]
    .sort((a, b) => told(b) - told(a) || worth(b) - worth(a) || (a.id < b.id ? -1 : 1))
    .map((edge) => ({ id: edge.id, cells: cellsOf(edge) }));
}

function cellsOf(edge: GraphEdge): string[] {
  return [
    edge.source,
    edge.target,
    edge.protocol,
    edgeLabel(edge, 'rate'),
    edgeLabel(edge, 'errors'),
    edgeLabel(edge, 'latency'),
    edge.layers.join(', ') + (edge.inferred ? ' (inferred)' : ''),
    edge.via.join(' → '),
    edge.status ?? '',
  ];
}
