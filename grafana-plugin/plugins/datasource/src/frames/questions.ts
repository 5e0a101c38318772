/**
 * The frames of questions about the whole graph: who depends on a service, how calls get from one to another, circles, and
 * services without which others cannot be reached. Paths and circles come as a table and as a graph that panels can draw.
 */

import { FieldType, createDataFrame } from '@grafana/data';
import type { DataFrame } from '@grafana/data';

import { list } from './tables';
import type { Json } from './tables';

const { string, number } = FieldType;
const ARROW = ' → ';

/** One row a caller, near ones first as the server has them; shares from 0 to 1. */
export function blastRadiusFrame(answer: Json, refId: string): DataFrame {
  return table('blast radius', answer, list(answer.callers), refId, [
    ['service', string, 'Service', (row) => row.service],
    ['kind', string, 'Kind', (row) => row.kind],
    ['hops', number, 'Hops', (row) => row.hops],
    ['share', number, 'Share of its calls', (row) => row.share ?? null, 'percentunit'],
  ]);
}

/** One row a path, the shortest first, and the graph of all of them. Calls are those of the window. */
export function pathsFrames(answer: Json, refId: string): DataFrame[] {
  const paths = list(answer.paths);
  const rows = table('paths', answer, paths, refId, [
    ['hops', number, 'Hops', (row) => row.hops],
    ['path', string, 'Path', (row) => names(row.services).join(ARROW)],
    ['least_calls', number, 'Calls on its least used step', (row) => Math.min(...list(row.steps).map((step) => Number(step.calls)))],
  ]);
  return [rows, ...graphOf(paths.flatMap((path) => list(path.steps)), refId)];
}

/** One row a group of services that call each other in circles, and the graph of one circle of each. */
export function cyclesFrames(answer: Json, refId: string): DataFrame[] {
  const cycles = list(answer.cycles);
  const rows = table('cycles', answer, cycles, refId, [
    ['size', number, 'Services', (row) => row.size],
    ['cycle', string, 'One circle of them', (row) => circle(row).join(ARROW)],
    ['services', string, 'All of them', (row) => names(row.services).join(', ')],
  ]);
  const steps = cycles.map(circle).flatMap((ids) => ids.slice(1).map((target, at) => ({ source: ids[at], target })));
  return [rows, ...graphOf(steps, refId)];
}

/** One row a service without which others cannot be reached. */
export function singlePointsFrame(answer: Json, refId: string): DataFrame {
  return table('single points of failure', answer, list(answer.single_points_of_failure), refId, [
    ['service', string, 'Service', (row) => row.service],
    ['kind', string, 'Kind', (row) => row.kind],
    ['callers', number, 'Callers', (row) => row.callers],
    ['cuts_off', number, 'Cuts off', (row) => row.cuts_off],
    ['services', string, 'Such as', (row) => names(row.services).join(', ')],
  ]);
}

type Column = readonly [name: string, type: FieldType, displayName: string, value: (row: Json) => unknown, unit?: string];

/** A table; what the answer notes beside its rows stands in the panel's corner. */
function table(name: string, answer: Json, rows: readonly Json[], refId: string, columns: readonly Column[]): DataFrame {
  const notices = answer.note ? [{ severity: 'info' as const, text: String(answer.note) }] : [];
  const fields = columns.map(([field, type, displayName, value, unit]) => ({
    name: field,
    type,
    config: { displayName, ...(unit && { unit }) },
    values: rows.map(value),
  }));
  return createDataFrame({ name, refId, meta: { preferredVisualisationType: 'table', notices }, fields });
}

/** Steps from caller to callee as the node graph contract has them, each once. */
function graphOf(steps: readonly Json[], refId: string): DataFrame[] {
  const edges = [...new Map(steps.map((step) => [`${step.source}${ARROW}${step.target}`, step]))];
  const ids = [...new Set(edges.flatMap(([, { source, target }]) => [String(source), String(target)]))];
  const column = (name: string, values: unknown[], type = string, displayName = '') => ({ name, type, config: { ...(displayName && { displayName }) }, values });
  const parts = ids.map((id) => [id.slice(id.indexOf('/') + 1), id.slice(0, Math.max(0, id.indexOf('/')))]);
  const nodes = [
    column('id', ids),
    column('title', parts.map(([name]) => name), string, 'Service'),
    column('subtitle', parts.map(([, namespace]) => namespace), string, 'Namespace'),
  ];
  const drawn = [
    column('id', edges.map(([id]) => id)),
    column('source', edges.map(([, { source }]) => source)),
    column('target', edges.map(([, { target }]) => target)),
    column('detail__calls', edges.map(([, { calls }]) => calls ?? null), number, 'Calls'),
    column('detail__protocols', edges.map(([, { protocols }]) => names(protocols).join(', ')), string, 'Protocols'),
  ];
  const meta = { preferredVisualisationType: 'nodeGraph' as const };
  return [createDataFrame({ name: 'nodes', refId, meta, fields: nodes }), createDataFrame({ name: 'edges', refId, meta, fields: drawn })];
}

/** The services of a circle, the first of them at its end again. */
function circle({ example }: Json): string[] {
  const ids = names(example);
  return [...ids, ...ids.slice(0, 1)];
}

function names(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
