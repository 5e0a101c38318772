/** The frames of lists: services, and events (which are annotations too). */

import { FieldType, createDataFrame } from '@grafana/data';
import type { DataFrame } from '@grafana/data';

export type Json = Readonly<Record<string, unknown>>;

/** One row a service. */
export function servicesFrame(answer: Json, refId: string): DataFrame {
  const rows = list(answer.services);
  const text = (name: string, displayName: string) => ({
    name,
    type: FieldType.string,
    config: { displayName },
    values: rows.map((row) => String(row[name] ?? '')),
  });
  const degree = (name: string, displayName: string) => ({
    name: `degree_${name}`,
    type: FieldType.number,
    config: { displayName },
    values: rows.map((row) => object(row.degree)[name] ?? null),
  });
  return createDataFrame({
    name: 'services',
    refId,
    meta: { preferredVisualisationType: 'table' },
    fields: [
      text('id', 'Service'),
      text('name', 'Name'),
      text('namespace', 'Namespace'),
      text('kind', 'Kind'),
      degree('inbound', 'Callers'),
      degree('outbound', 'Callees'),
      {
        name: 'layers',
        type: FieldType.string,
        config: { displayName: 'Seen in' },
        values: rows.map((row) => (Array.isArray(row.layers) ? row.layers.join(', ') : '')),
      },
    ],
  });
}

/** One row an event, with the fields that Grafana's annotations take: `time`, `title`, `text`, `tags`, `id`. */
export function eventsFrame(answer: Json, refId: string): DataFrame {
  const rows = list(answer.events);
  const field = (name: string, type: FieldType, value: (row: Json) => unknown) => ({
    name,
    type,
    config: {},
    values: rows.map(value),
  });
  const { string, number, time, other } = FieldType;
  return createDataFrame({
    name: 'events',
    refId,
    fields: [
      field('time', time, (row) => Date.parse(String(row.time))),
      field('title', string, titleOf),
      field('text', string, textOf),
      field('tags', other, tagsOf),
      field('id', string, (row) => String(row.id ?? '')),
      field('type', string, (row) => String(row.type ?? '')),
      field('source', string, (row) => String(object(row.edge).source ?? '')),
      field('target', string, (row) => String(object(row.edge).target ?? row.service ?? '')),
      field('edge', string, (row) => String(object(row.edge).id ?? '')),
      field('probability', number, (row) => (typeof row.probability === 'number' ? row.probability : null)),
    ],
  });
}

const WORDS: Readonly<Record<string, string>> = {
  new_dependency: 'New dependency',
  vanished_dependency: 'Vanished dependency',
  returned_dependency: 'Returned dependency',
};

function titleOf(row: Json): string {
  return String(row.title ?? row.rule ?? WORDS[String(row.type)] ?? row.type ?? '');
}

function textOf(row: Json): string {
  const { source, target, protocol } = object(row.edge);
  const edge = source ? `${source} → ${target} (${protocol})` : String(row.service ?? '');
  const cause = object(row.change_event).title;
  return cause ? `${edge}, after: ${cause}` : edge;
}

function tagsOf(row: Json): string[] {
  const { source, target } = object(row.edge);
  return [row.type, source, target, row.service].filter((tag): tag is string => typeof tag === 'string' && tag !== '');
}

export function list(value: unknown): Json[] {
  return Array.isArray(value) ? value : [];
}

export function object(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {};
}
