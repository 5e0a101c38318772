/** From the frames of the data source, or of any source that keeps the node graph contract, to what is drawn. Pure. */

import { FieldType, getDisplayProcessor } from '@grafana/data';
import type { DataFrame, DataLink, Field, GrafanaTheme2 } from '@grafana/data';

import { KINDS, LAYERS, STATUSES } from '../../../core/src/index.ts';
import type { Change, Graph, GraphEdge, GraphNode, Measures, Positions } from '../../../core/src/index.ts';

/** The graph of some frames, where its services are, and what is known of the answer as a whole. */
export interface Topology {
  readonly graph: Graph;
  readonly positions: Positions;
  readonly compared: boolean;
  readonly truncated: boolean;
  /** The fields that data links and thresholds of an edge or a node hang on; null where there is no such frame. */
  readonly nodes: DataFrame | null;
  readonly edges: DataFrame | null;
}

/** Columns over time, one value a bucket of `stepMs`. */
export interface Timeline {
  readonly time: readonly number[];
  readonly edges: readonly number[];
  readonly changes: readonly number[];
  readonly stepMs: number;
}

/** The graph of a panel's frames; null when none of them is a graph. */
export function topologyOf(series: readonly DataFrame[], theme: GrafanaTheme2): Topology | null {
  // Events have ids, titles and ends too, but they have a time.
  const timeless = series.filter((frame) => fieldOf(frame, 'time') === undefined);
  const edges = timeless.find((frame) => frame.name === 'edges' || (has(frame, 'source') && has(frame, 'target'))) ?? null;
  const isNodes = (frame: DataFrame) => frame !== edges && has(frame, 'id') && (has(frame, 'title') || frame.name === 'nodes');
  const nodes = timeless.find(isNodes) ?? null;
  if (!nodes && !edges) {
    return null;
  }
  const drawn = edges ? rowsOf(edges, (get, row) => edgeOf(get, row, edges, theme)) : [];
  const known = nodes ? rowsOf(nodes, nodeOf) : [];
  const { compared, truncated } = customOf(nodes ?? edges);
  return {
    graph: { nodes: withEnds(known, drawn), edges: drawn },
    positions: nodes ? positionsOf(nodes) : new Map(),
    compared: compared === true,
    truncated: truncated === true,
    nodes,
    edges,
  };
}

/** The timeline of a panel's frames; null when none of them is one. */
export function timelineOf(series: readonly DataFrame[]): Timeline | null {
  const frame = series.find((own) => own.name === 'timeline');
  const stepMs = Number(customOf(frame ?? null).stepMs);
  if (!frame || frame.length === 0 || !(stepMs > 0)) {
    return null;
  }
  const column = (name: string) => fieldOf(frame, name)?.values.map((value) => Number(value ?? 0)) ?? [];
  const [added, removed] = [column('added'), column('removed')];
  const time = column('time');
  return { time, edges: column('edges'), changes: time.map((_, at) => (added[at] ?? 0) + (removed[at] ?? 0)), stepMs };
}

/** What happened, as marks on the slider. */
export interface Mark {
  readonly time: number;
  readonly title: string;
}

/** The events of a panel's frames: dependencies that came and went, deployments. */
export function marksOf(series: readonly DataFrame[]): Mark[] {
  const frame = series.find((own) => own.name === 'events');
  return frame ? rowsOf(frame, (get) => ({ time: number(get('time')) ?? NaN, title: titleOf(get) })) : [];
}

function titleOf(get: Get): string {
  return [text(get('title')), text(get('text'))].filter(Boolean).join(': ');
}

/** Data links of a row: those of every field, with the row's values and the dashboard's variables filled in. */
export function linksOf(frame: DataFrame | null, row: number) {
  const fields = row < 0 ? [] : (frame?.fields ?? []);
  return fields.flatMap((field) =>
    hasLinks(field) ? (field.getLinks?.({ valueRowIndex: row }) ?? []).filter((link) => link.href || link.onClick) : []
  );
}

/** The row of a node or an edge in its frame, by its id; -1 when it is not there. */
export function rowOf(frame: DataFrame | null, id: string): number {
  return frame ? (fieldOf(frame, 'id')?.values.indexOf(id) ?? -1) : -1;
}

type Get = (name: string) => unknown;

function rowsOf<T>(frame: DataFrame, make: (get: Get, row: number) => T): T[] {
  const fields = new Map(frame.fields.map((field) => [field.name.toLowerCase(), field]));
  return Array.from({ length: frame.length }, (_, row) => make((name) => fields.get(name)?.values[row], row));
}

function nodeOf(get: Get): GraphNode {
  const members = number(get('members'));
  const status = STATUSES.find((known) => known === get('status'));
  return {
    id: text(get('id')),
    name: text(get('title')) || text(get('id')),
    namespace: text(get('subtitle')),
    kind: KINDS.find((kind) => kind === get('kind')) ?? 'service',
    attributes: record(get('attributes')) as Record<string, string>,
    layers: layersOf(get('layers')),
    callsPerSecond: number(get('mainstat')),
    errorRatio: number(get('secondarystat') === undefined ? get('arc__errors') : get('secondarystat')),
    ...(status && { status }),
    ...(members !== null && { members }),
  };
}

function edgeOf(get: Get, row: number, frame: DataFrame, theme: GrafanaTheme2): GraphEdge {
  const status = STATUSES.find((known) => known === get('status'));
  const [source, target] = [text(get('source')), text(get('target'))];
  return {
    id: text(get('id')) || `${source} ${target} ${row}`,
    source,
    target,
    protocol: text(get('protocol')) || text(get('detail__protocol')),
    layers: layersOf(get('layers')),
    via: texts(get('via')),
    confidence: number(get('confidence')) ?? 1,
    inferred: get('inferred') === true,
    firstSeen: iso(get('first_seen')),
    lastSeen: iso(get('last_seen')),
    measures: measuresOf(get),
    shown: shownOf(fieldOf(frame, 'mainstat'), row, theme),
    ...(status && { status }),
    ...(get('before') ? { before: record(get('before')) } : {}),
    ...(Array.isArray(get('changes')) ? { changes: get('changes') as Change[] } : {}),
  };
}

/** Measures by layer, as our data source sends them; of other sources the main value as calls of traces. */
function measuresOf(get: Get): GraphEdge['measures'] {
  const own = get('measures');
  if (own && typeof own === 'object') {
    return own;
  }
  const plain: Measures = {
    callsPerSecond: number(get('mainstat')),
    errorRatio: number(get('secondarystat')),
    latencyMs: number(get('detail__latency')),
    bytesPerSecond: number(get('detail__bytes')),
    connections: null,
  };
  return { trace: plain };
}

/** The main value as the panel's field options want it: unit, decimals, and the colour of its threshold. */
function shownOf(field: Field | undefined, row: number, theme: GrafanaTheme2): GraphEdge['shown'] {
  if (!field || field.values[row] == null) {
    return undefined;
  }
  const shown = (field.display ?? getDisplayProcessor({ field, theme }))(field.values[row]);
  return { text: `${shown.prefix ?? ''}${shown.text}${shown.suffix ?? ''}`, colour: shown.color ?? null };
}

/** All nodes, and one for each end of an edge that no row of the nodes describes. */
function withEnds(nodes: GraphNode[], edges: readonly GraphEdge[]): GraphNode[] {
  const known = new Set(nodes.map((node) => node.id));
  const bare = (id: string): GraphNode => ({
    id,
    name: id,
    namespace: '',
    kind: 'unknown',
    attributes: {},
    layers: [],
    callsPerSecond: null,
    errorRatio: null,
  });
  const missing = new Set(edges.flatMap((edge) => [edge.source, edge.target]).filter((id) => !known.has(id)));
  return [...nodes, ...[...missing].map(bare)];
}

function positionsOf(frame: DataFrame): Positions {
  const places = rowsOf(frame, (get) => [text(get('id')), number(get('fixedx')), number(get('fixedy'))] as const);
  const placed = places.flatMap(([id, x, y]) => (x === null || y === null ? [] : [[id, [x, y]] as const]));
  return new Map(placed);
}

function customOf(frame: DataFrame | null): Record<string, unknown> {
  return record(record(frame?.meta?.custom).chronotope);
}

function hasLinks(field: Field): boolean {
  const links: DataLink[] | undefined = field.config.links;
  return links !== undefined && links.length > 0;
}

function fieldOf(frame: DataFrame, name: string): Field | undefined {
  return frame.fields.find((field) => field.name.toLowerCase() === name);
}

function has(frame: DataFrame, name: string): boolean {
  const field = fieldOf(frame, name);
  return field !== undefined && field.type !== FieldType.time;
}

function layersOf(value: unknown) {
  const given = texts(value);
  return LAYERS.filter((layer) => given.includes(layer));
}

function texts(value: unknown): string[] {
  return text(value)
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function number(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function iso(value: unknown): string | null {
  return typeof value === 'number' ? new Date(value).toISOString() : text(value) || null;
}
