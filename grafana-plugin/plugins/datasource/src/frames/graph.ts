/**
 * The frames of a graph: Grafana's node graph contract, so that the core Node graph panel draws them too, and what the
 * topology panel needs beyond it.
 */

import { FieldType, createDataFrame } from '@grafana/data';
import type { DataFrame, FieldConfig } from '@grafana/data';

import { headline } from '../../../../core/src/graph.ts';
import type { Graph, GraphEdge, GraphNode, Kind, Measures } from '../../../../core/src/graph.ts';

type Column<T> = readonly [name: string, type: FieldType, value: (row: T) => unknown, config?: FieldConfig];

/** Icons of Grafana's own set, for the core panel. */
const ICONS: Record<Kind, string> = {
  service: 'cube',
  database: 'database',
  messaging: 'envelope',
  external: 'cloud',
  intermediary: 'exchange-alt',
  unknown: 'question-circle',
};
const INFERRED_DASH = '6 4';
const { string, number, other } = FieldType;

const shown = (displayName: string, unit?: string): FieldConfig => ({ displayName, ...(unit && { unit }) });
const fixed = (displayName: string, fixedColor: string): FieldConfig => ({
  displayName,
  color: { mode: 'fixed', fixedColor },
});

const NODES: ReadonlyArray<Column<GraphNode>> = [
  ['id', string, (node) => node.id],
  ['title', string, (node) => node.name, shown('Service')],
  ['subtitle', string, (node) => node.namespace, shown('Namespace')],
  ['mainstat', number, (node) => node.callsPerSecond, shown('Calls', 'reqps')],
  ['secondarystat', number, (node) => node.errorRatio, shown('Errors', 'percentunit')],
  ['arc__ok', number, (node) => (node.callsPerSecond ? 1 - (node.errorRatio ?? 0) : 0), fixed('Without error', 'green')],
  ['arc__errors', number, (node) => (node.callsPerSecond ? (node.errorRatio ?? 0) : 0), fixed('With error', 'red')],
  ['icon', string, (node) => ICONS[node.kind]],
  ['detail__layers', string, (node) => node.layers.join(', '), shown('Seen in')],
  ['kind', string, (node) => node.kind, shown('Kind')],
  ['layers', string, (node) => node.layers.join(',')],
  ['status', string, (node) => node.status ?? ''],
  ['members', number, (node) => node.members ?? null],
  ['attributes', other, (node) => node.attributes],
];

const EDGES: ReadonlyArray<Column<GraphEdge>> = [
  ['id', string, (edge) => edge.id],
  ['source', string, (edge) => edge.source],
  ['target', string, (edge) => edge.target],
  ['mainstat', number, (edge) => headline(edge)?.callsPerSecond ?? null, shown('Calls', 'reqps')],
  ['secondarystat', number, (edge) => headline(edge)?.errorRatio ?? null, shown('Errors', 'percentunit')],
  ['detail__latency', number, (edge) => headline(edge)?.latencyMs ?? null, shown('Latency', 'ms')],
  ['detail__bytes', number, (edge) => headline(edge)?.bytesPerSecond ?? null, shown('Bytes', 'Bps')],
  ['detail__layers', string, (edge) => edge.layers.join(', '), shown('Seen in')],
  ['detail__via', string, (edge) => edge.via.join(', '), shown('Via')],
  ['thickness', number, thickness],
  ['strokedasharray', string, (edge) => (edge.inferred ? INFERRED_DASH : '')],
  ['protocol', string, (edge) => edge.protocol, shown('Protocol')],
  ['layers', string, (edge) => edge.layers.join(',')],
  ['via', string, (edge) => edge.via.join(',')],
  ['status', string, (edge) => edge.status ?? ''],
  ['inferred', FieldType.boolean, (edge) => edge.inferred],
  ['confidence', number, (edge) => edge.confidence, shown('Confidence', 'percentunit')],
  ['first_seen', FieldType.time, (edge) => instant(edge.firstSeen), shown('First seen')],
  ['last_seen', FieldType.time, (edge) => instant(edge.lastSeen), shown('Last seen')],
  ['measures', other, (edge) => edge.measures],
  ['before', other, (edge) => edge.before ?? null],
  ['changes', other, (edge) => edge.changes ?? null],
];

/** Where a node is drawn, in the drawing's own units. */
export type Positions = ReadonlyMap<string, readonly [x: number, y: number]>;

/** What the panel must know of the answer as a whole. */
export interface GraphMeta {
  readonly truncated: boolean;
  readonly compared: boolean;
  readonly window: { readonly from: string; readonly to: string };
}

/** The two frames of a graph. Positions go into them when every node has one, as the contract wants: all or none. */
export function graphFrames(graph: Graph, positions: Positions, meta: GraphMeta, refId: string): DataFrame[] {
  const placed = graph.nodes.length > 0 && graph.nodes.every((node) => positions.has(node.id));
  const fixedColumns: Array<Column<GraphNode>> = [
    ['fixedx', number, (node) => positions.get(node.id)?.[0]],
    ['fixedy', number, (node) => positions.get(node.id)?.[1]],
  ];
  const nodes = placed ? [...NODES, ...fixedColumns] : NODES;
  return [frame('nodes', graph.nodes, nodes, meta, refId), frame('edges', graph.edges, EDGES, meta, refId)];
}

function frame<T>(name: string, rows: readonly T[], columns: ReadonlyArray<Column<T>>, meta: GraphMeta, refId: string) {
  return createDataFrame({
    name,
    refId,
    meta: { preferredVisualisationType: 'nodeGraph', custom: { chronotope: meta } },
    fields: columns.map(([field, type, value, config]) => ({ name: field, type, config, values: rows.map(value) })),
  });
}

function thickness(edge: GraphEdge): number {
  const own: Measures | null = headline(edge);
  const rate = own?.callsPerSecond ?? (own?.bytesPerSecond ?? 0) / 10_000;
  return Math.min(8, 1 + Math.log10(1 + rate));
}

function instant(text: string | null): number | null {
  return text === null ? null : Date.parse(text);
}
