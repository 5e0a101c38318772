/** The drawer about one service or one edge: who, how much, how well, over time, and what else to ask. */

import { describeMeasures, doubtOf, edgeLabel, formatLatency, formatNumber, formatRate, formatShare, graphFromApi, LAYERS } from '@chronotope/core';
import type { GraphEdge, GraphNode, Theme } from '@chronotope/core';
import { h } from './dom.ts';
import { picture } from './legend.ts';
import { spark } from './spark.ts';
import { ago, formatTime } from './times.ts';

export interface DetailActions {
  select(id: string): void;
  focus(id: string): void;
  open(namespace: string): void;
  blast(id: string): void;
  close(): void;
}

/** Numbers over time of one edge, or of several added up. */
export interface Series {
  readonly calls: readonly (number | null)[];
  readonly errorRatio: readonly (number | null)[];
  readonly latencyMs: readonly (number | null)[];
  readonly bytes: readonly (number | null)[];
  /** Where the time shown is in it, 0 to 1. */
  readonly shownAt: number;
  readonly note: string;
}

const MOST_ROWS = 60;

/** A service: what is known at once, from the graph. */
export function serviceDetails(node: GraphNode, theme: Theme, grouped: boolean, actions: DetailActions): HTMLElement {
  const button = (text: string, title: string, act: () => void): HTMLElement =>
    h('button', { type: 'button', title, onclick: act }, text);
  const buttons = node.members === undefined
    ? [
        button('Focus', 'Show only what is around it', () => actions.focus(node.id)),
        button('Blast radius', 'Show all that depends on it', () => actions.blast(node.id)),
      ]
    : grouped
      ? [button('Open', `Show its ${node.members} services`, () => actions.open(node.attributes.namespace ?? node.id))]
      : [];
  return h(
    'article',
    {},
    h('header', {}, picture(node.kind, theme), h('div', {}, h('h2', { tabindex: -1 }, node.name), h('p', {}, subtitle(node))), closeButton(actions)),
    h('div', { class: 'buttons' }, ...buttons),
    facts([
      ['in', formatRate(node.callsPerSecond)],
      ['errors', node.callsPerSecond === null ? '' : formatShare(node.errorRatio ?? 0)],
      ['seen by', node.layers.join(', ')],
      ['status', node.status && node.status !== 'unchanged' ? node.status : ''],
      ...Object.entries(node.attributes).sort(),
    ]),
    h('div', { id: 'more', 'aria-live': 'polite' }),
  );
}

/** An edge. */
export function edgeDetails(edge: GraphEdge, nowMs: number, actions: DetailActions): HTMLElement {
  const end = (id: string): HTMLElement => h('button', { type: 'button', class: 'link', onclick: () => actions.select(id) }, id);
  const seen = (text: string | null): string => (text ? `${formatTime(Date.parse(text))} (${ago(Date.parse(text), nowMs)})` : '');
  return h(
    'article',
    {},
    h('header', {}, h('div', {}, h('h2', { tabindex: -1 }, end(edge.source), h('span', { class: 'arrow' }, ' → '), end(edge.target)), h('p', {}, edge.protocol || 'protocol not known')), closeButton(actions)),
    facts([
      ['status', edge.status && edge.status !== 'unchanged' ? edge.status : ''],
      ['via', edge.via.join(' → ')],
      ['doubt', doubtOf(edge)],
      ['first seen', seen(edge.firstSeen)],
      ['last seen', seen(edge.lastSeen)],
    ]),
    h('h3', {}, 'Evidence'),
    facts(LAYERS.flatMap((layer) => {
      const own = edge.measures[layer];
      const before = edge.before?.[layer];
      const now: [string, string][] = own ? [[layer, describeMeasures(own)]] : [];
      return before ? [...now, [`${layer}, before`, describeMeasures(before)] as [string, string]] : now;
    })),
    ...(edge.changes?.length ? [h('h3', {}, 'Changed beyond chance'), changesTable(edge)] : []),
    h('div', { id: 'more', 'aria-live': 'polite' }),
  );
}

/** What `/api/v1/services/{id}` adds: callers and callees with their numbers. */
export function neighboursTables(answer: unknown, actions: DetailActions): HTMLElement[] {
  const own = answer as { window: unknown; callers: unknown[]; callees: unknown[] };
  const edges = (list: unknown[]): readonly GraphEdge[] => graphFromApi({ window: own.window, nodes: [], edges: list }).edges;
  return [
    neighboursTable('Callers', edges(own.callers), (edge) => edge.source, actions),
    neighboursTable('Callees', edges(own.callees), (edge) => edge.target, actions),
  ];
}

/** Curves of calls, errors and latency. */
export function seriesOf(series: Series): HTMLElement {
  const curves: (readonly [string, readonly (number | null)[], (value: number | null) => string, string])[] = [
    ['Calls', series.calls, formatRate, 'line'],
    ['Errors', series.errorRatio, formatShare, 'bad'],
    ['Latency, mean', series.latencyMs, formatLatency, 'line'],
    ['Bytes/s', series.bytes, (value) => formatNumber(value), 'line'],
  ];
  const shown = curves.filter(([, values]) => values.some((value) => value !== null && value > 0));
  if (!shown.length) return h('p', { class: 'note' }, 'Nothing was counted in this span of time.');
  return h('section', { class: 'series' }, h('h3', {}, 'Over time'), ...(series.note ? [h('p', { class: 'note' }, series.note)] : []), ...shown.map(([name, values, text, kind]) => {
    const most = Math.max(...values.map((value) => value ?? 0));
    return h('figure', {}, h('figcaption', {}, name, h('span', {}, `up to ${text(most)}`)), spark(values, series.shownAt, `${name}: up to ${text(most)}`, kind));
  }));
}

/** The series of `/api/v1/edges/{id}` answers, added up: of each edge the layer that counts calls best. */
export function addSeries(answers: readonly unknown[], shownMs: number, note: string): Series {
  const all = answers.map((answer) => answer as { time: string[]; step_seconds: number; evidence: Record<string, Record<string, unknown>> });
  const times = all[0]?.time.map((text) => Date.parse(text)) ?? [];
  const calls = all.map(({ evidence }) => evidence.ipc ?? evidence.trace).filter((own) => own !== undefined);
  const column = (own: Record<string, unknown>, name: string): (number | null)[] => (own[name] as (number | null)[] | undefined) ?? [];
  const total = (own: readonly Record<string, unknown>[], names: readonly string[], at: number): number =>
    own.reduce((sum, one) => sum + names.reduce((part, name) => part + (column(one, name)[at] ?? 0), 0), 0);
  const latency = (at: number): number | null => {
    const known = calls.map((own) => [column(own.latency_ms as Record<string, unknown>, 'mean')[at] ?? null, column(own, 'calls')[at] ?? 0] as const).filter(([mean]) => mean !== null);
    const weight = known.reduce((sum, [, count]) => sum + count, 0);
    return weight ? known.reduce((sum, [mean, count]) => sum + (mean ?? 0) * count, 0) / weight : null;
  };
  const seconds = all[0]?.step_seconds ?? 1;
  const network = calls.length ? [] : all.map(({ evidence }) => evidence.network).filter((own) => own !== undefined);
  const length = (times.at(-1) ?? 0) + seconds * 1000 - (times[0] ?? 0);
  return {
    calls: times.map((_, at) => (calls.length ? total(calls, ['calls_per_second'], at) : null)),
    errorRatio: times.map((_, at) => (total(calls, ['calls'], at) ? total(calls, ['errors'], at) / total(calls, ['calls'], at) : null)),
    latencyMs: times.map((_, at) => latency(at)),
    bytes: times.map((_, at) => (network.length ? total(network, ['bytes_sent', 'bytes_received'], at) / seconds : null)),
    shownAt: length ? (shownMs - (times[0] ?? 0)) / length : -1,
    note,
  };
}

function subtitle(node: GraphNode): string {
  const parts = [node.namespace, node.kind, node.members === undefined ? '' : `${node.members} services`];
  return parts.filter(Boolean).join(' · ');
}

function closeButton(actions: DetailActions): HTMLElement {
  return h('button', { type: 'button', class: 'close', 'aria-label': 'Close details', onclick: () => actions.close() }, '×');
}

function facts(rows: readonly (readonly [string, string])[]): HTMLElement | null {
  const known = rows.filter(([, value]) => value);
  return known.length ? h('dl', {}, ...known.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)])) : null;
}

function changesTable(edge: GraphEdge): HTMLElement {
  const rows = (edge.changes ?? []).map(({ layer, measure, before, after, pValue }) =>
    h('tr', {}, h('th', { scope: 'row' }, `${layer} ${measure.replaceAll('_', ' ')}`), h('td', {}, formatNumber(before)), h('td', {}, formatNumber(after)), h('td', {}, pValue < 1e-4 ? pValue.toExponential(0) : formatNumber(pValue, 2))),
  );
  const head = ['measure', 'before', 'after', 'p'].map((name) => h('th', { scope: 'col' }, name));
  return h('table', {}, h('thead', {}, h('tr', {}, ...head)), h('tbody', {}, ...rows));
}

function neighboursTable(title: string, edges: readonly GraphEdge[], other: (edge: GraphEdge) => string, actions: DetailActions): HTMLElement {
  if (!edges.length) return h('section', {}, h('h3', {}, title), h('p', { class: 'note' }, 'none in this window'));
  const worth = (edge: GraphEdge): number => (edge.measures.ipc ?? edge.measures.trace)?.callsPerSecond ?? 0;
  const sorted = [...edges].sort((a, b) => worth(b) - worth(a));
  const rows = sorted.slice(0, MOST_ROWS).map((edge) =>
    h(
      'tr',
      {},
      h('th', { scope: 'row' }, h('button', { type: 'button', class: 'link', onclick: () => actions.select(other(edge)) }, other(edge)), h('small', {}, edge.protocol)),
      ...(['rate', 'errors', 'latency'] as const).map((name) => h('td', { class: name === 'errors' && edgeLabel(edge, name) ? 'bad' : null }, edgeLabel(edge, name))),
    ),
  );
  const head = ['service', 'rate', 'errors', 'p95'].map((name) => h('th', { scope: 'col' }, name));
  const left = edges.length - MOST_ROWS;
  return h('section', {}, h('h3', {}, `${title} (${edges.length})`), h('table', {}, h('thead', {}, h('tr', {}, ...head)), h('tbody', {}, ...rows)), left > 0 && h('p', { class: 'note' }, `and ${left} less busy ones`));
}
