/**
 * The graph that is drawn: nodes, edges and what was measured of them. Plain values, nothing of the screen.
 *
 * Invariant: a number that is not known is null; layers are never added together.
 */

export const KINDS = ['service', 'database', 'messaging', 'external', 'intermediary', 'unknown'] as const;
export const LAYERS = ['network', 'ipc', 'trace'] as const;
export const STATUSES = ['added', 'removed', 'changed', 'unchanged'] as const;

export type Kind = (typeof KINDS)[number];
export type Layer = (typeof LAYERS)[number];
export type Status = (typeof STATUSES)[number];

/** What one layer saw of an edge. Rates are per second, latency in milliseconds, `errorRatio` from 0 to 1. */
export interface Measures {
  readonly callsPerSecond: number | null;
  readonly errorRatio: number | null;
  readonly latencyMs: number | null;
  readonly bytesPerSecond: number | null;
  readonly connections: number | null;
}

export interface Change {
  readonly layer: Layer;
  readonly measure: string;
  readonly before: number;
  readonly after: number;
  readonly pValue: number;
}

export interface GraphNode {
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  readonly kind: Kind;
  readonly attributes: Readonly<Record<string, string>>;
  readonly layers: readonly Layer[];
  /** Calls that reach it, per second; null where no layer sees calls. */
  readonly callsPerSecond: number | null;
  readonly errorRatio: number | null;
  readonly status?: Status;
  /** How many services it stands for, when it is a group. */
  readonly members?: number;
}

export interface GraphEdge {
  readonly id: string;
  readonly source: string;
  readonly target: string;
  readonly protocol: string;
  readonly layers: readonly Layer[];
  readonly via: readonly string[];
  readonly confidence: number;
  readonly inferred: boolean;
  readonly firstSeen: string | null;
  readonly lastSeen: string | null;
  readonly measures: Readonly<Partial<Record<Layer, Measures>>>;
  readonly status?: Status;
  readonly before?: Readonly<Partial<Record<Layer, Measures>>>;
  readonly changes?: readonly Change[];
  /** Its main value as whoever gave the graph wants it shown: Grafana's units and thresholds. */
  readonly shown?: { readonly text: string; readonly colour: string | null };
  /** How many edges it stands for, when it joins groups. */
  readonly members?: number;
}

export interface Graph {
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
}

export const EMPTY_GRAPH: Graph = { nodes: [], edges: [] };

const CALL_LAYERS = ['ipc', 'trace'] as const;

/**
 * The one set of measures that stands for an edge: of the layer that counts calls best (metrics see every call, traces
 * a sample), else what the network says. Of a removed edge: what it had before.
 */
export function headline(edge: GraphEdge): Measures | null {
  const measures = edge.status === 'removed' ? edge.before : edge.measures;
  for (const layer of CALL_LAYERS) {
    const found = measures?.[layer];
    if (found) return found;
  }
  return measures?.network ?? null;
}

/** How much passes an edge, in one number that orders edges: calls, else connections and bytes. */
export function volume(edge: GraphEdge): number {
  const own = headline(edge);
  if (!own) return 0;
  return own.callsPerSecond ?? (own.bytesPerSecond ?? 0) / 10_000;
}
