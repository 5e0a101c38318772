/** Lists beside and instead of the drawing: services, events, and the whole graph as a table. */

import { COLUMNS, formatRate, formatShare, tableRows } from '@chronotope/core';
import type { Graph } from '@chronotope/core';
import { h } from './dom.ts';
import { ago, formatTime } from './times.ts';

export interface TopologyEvent {
  readonly id: string;
  readonly type: string;
  readonly ms: number;
  readonly title: string;
  /** What to select when it is clicked: an edge or a service. */
  readonly subject: string;
  readonly told: boolean;
}

const MOST = 500;

/** Events of `/api/v1/events`, the latest first. */
export function eventsOf(answer: unknown): TopologyEvent[] {
  const list = (answer as { events?: Record<string, unknown>[] }).events ?? [];
  return list.map(eventOf).sort((a, b) => b.ms - a.ms);
}

function eventOf(event: Record<string, unknown>): TopologyEvent {
  const edge = event.edge as { id: string; source: string; target: string } | null;
  const type = String(event.type ?? '').replaceAll('_', ' ');
  const said = [event.title, event.service].filter(Boolean).join(' · ');
  return {
    id: String(event.id),
    type,
    ms: Date.parse(String(event.time)),
    title: edge ? `${edge.source} → ${edge.target}` : said || type,
    subject: edge?.id ?? String(event.service ?? ''),
    told: !edge,
  };
}

export function eventsList(events: readonly TopologyEvent[], nowMs: number, open: (event: TopologyEvent) => void): HTMLElement {
  if (!events.length) {
    return h('p', { class: 'note' }, 'No dependency appeared, vanished or returned in the time that the slider covers, and nobody told of a change. A longer span may show more.');
  }
  const rows = events.slice(0, MOST).map((event) =>
    h(
      'li',
      {},
      h(
        'button',
        { type: 'button', onclick: () => open(event) },
        h('span', { class: `tag ${event.type.split(' ')[0]}` }, event.type),
        h('span', { class: 'title' }, event.title),
        h('time', { title: `${formatTime(event.ms)} UTC` }, ago(event.ms, nowMs)),
      ),
    ),
  );
  return h('ol', { class: 'list events' }, ...rows);
}

export function servicesList(graph: Graph, search: string, select: (id: string) => void): HTMLElement {
  const wanted = search.toLowerCase();
  const found = graph.nodes.filter((node) => node.id.toLowerCase().includes(wanted));
  const sorted = [...found].sort((a, b) => (b.callsPerSecond ?? -1) - (a.callsPerSecond ?? -1) || (a.id < b.id ? -1 : 1));
  if (!sorted.length) return h('p', { class: 'note' }, search ? `No service here has “${search}” in its name.` : 'No services in this window.');
  const rows = sorted.slice(0, MOST).map((node) =>
    h(
      'li',
      {},
      h(
        'button',
        { type: 'button', onclick: () => select(node.id) },
        h('span', { class: 'title' }, node.id),
        h('span', { class: 'number' }, formatRate(node.callsPerSecond)),
        h('span', { class: 'number bad' }, node.errorRatio ? formatShare(node.errorRatio) : ''),
      ),
    ),
  );
  const left = sorted.length - MOST;
  return h('div', {}, h('ul', { class: 'list' }, ...rows), left > 0 && h('p', { class: 'note' }, `and ${left} more: search narrows it`));
}

/** The graph as a table. */
export function graphTable(graph: Graph, select: (id: string) => void): HTMLElement {
  const all = tableRows(graph);
  const used = COLUMNS.map((_, column) => column < 2 || all.some(({ cells }) => cells[column]));
  const rows = all.slice(0, MOST).map(({ id, cells }) =>
    h(
      'tr',
      {},
      ...cells.map((text, column) =>
        used[column] ? (column ? h('td', { class: column >= 3 && column <= 5 ? 'number' : null }, text) : h('th', { scope: 'row' }, h('button', { type: 'button', class: 'link', onclick: () => select(id) }, text))) : null,
      ),
    ),
  );
  const head = COLUMNS.map((name, column) => (used[column] ? h('th', { scope: 'col', class: column >= 3 && column <= 5 ? 'number' : null }, name) : null));
  const left = all.length - MOST;
  return h(
    'div',
    { class: 'sheet', tabindex: 0, role: 'region', 'aria-label': 'The graph as a table' },
    h('table', {}, h('caption', {}, `${all.length} dependencies, ${left > 0 ? `the first ${MOST} of them, ` : ''}the busiest first`), h('thead', {}, h('tr', {}, ...head)), h('tbody', {}, ...rows)),
  );
}
