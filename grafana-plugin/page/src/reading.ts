/** What the page asks the server for: graphs, places, series, the time of the latest data. */

import { degrade, graphFromApi, graphFromDiff, MOST_EDGES, MOST_NODES } from '@chronotope/core';
import type { Graph, Positions } from '@chronotope/core';
import type { Asking } from './asking.ts';
import { spanOf, timeMs, windowQuery } from './state.ts';
import type { State } from './state.ts';
import { rfc3339 } from './times.ts';

export interface Shown {
  readonly graph: Graph;
  /** The window's end as the server used it, Unix milliseconds; of a diff the one after. */
  readonly at: number;
  readonly windowMs: number;
  readonly before: number;
  /** The attribute that grouped it; empty for services. */
  readonly grouping: string;
  /** What was done because there is too much, for people; empty if nothing. */
  readonly note: string;
  readonly total: number;
  readonly summary: string;
}

interface Window {
  readonly to: string;
  readonly seconds: number;
}

/** Ask for the graph, or the difference, that a state wants; null when a newer question took over. */
export async function readShown(asking: Asking, state: State): Promise<Shown | null> {
  const query = graphQuery(state);
  if (state.mode === 'diff') return readDiff(asking, state, query);
  const answer = (await asking.ask('graph', 'api/v1/graph', { ...query, at: state.at, limit: String(MOST_EDGES) })) as GraphAnswer | null;
  if (!answer) return null;
  const { nodes, edges } = answer.totals;
  const tooLarge = nodes > MOST_NODES || answer.truncated;
  if (!tooLarge) return shownOf(answer, state.group, '');
  if (!state.group && !state.focus && !state.namespace && !state.search) {
    const grouped = (await asking.ask('graph', 'api/v1/graph', { ...query, at: state.at, group_by: 'namespace' })) as GraphAnswer | null;
    if (!grouped) return null;
    if (grouped.totals.nodes > 1 && grouped.totals.nodes < MOST_NODES) {
      return shownOf(grouped, 'namespace', `${nodes} services are too many to read: shown by namespace. Double-click one to open it, or search.`);
    }
  }
  return shownOf(answer, state.group, `The ${answer.edges.length} busiest of ${edges} dependencies are shown. Search, focus or a namespace shows others.`);
}

interface GraphAnswer {
  readonly window: Window;
  readonly edges: readonly unknown[];
  readonly truncated: boolean;
  readonly totals: { readonly nodes: number; readonly edges: number };
}

function shownOf(answer: GraphAnswer, grouping: string, note: string): Shown {
  const graph = graphFromApi(answer);
  const { nodes, edges } = answer.totals;
  const [node, edge] = [grouping ? 'group' : 'service', edges === 1 ? 'dependency' : 'dependencies'];
  const summary = `${nodes} ${node}${nodes === 1 ? '' : 's'}, ${edges} ${edge}`;
  return { graph, at: Date.parse(answer.window.to), windowMs: answer.window.seconds * 1000, before: NaN, grouping, note, total: answer.totals.edges, summary };
}

async function readDiff(asking: Asking, state: State, query: Record<string, string>): Promise<Shown | null> {
  const answer = (await asking.ask('graph', 'api/v1/diff', { ...query, after: state.at, before: state.before, include: 'unchanged', limit: String(MOST_EDGES) })) as {
    before: Window;
    after: Window;
    summary: Record<string, number>;
  } | null;
  if (!answer) return null;
  const { graph, groupedBy, leftOut } = degrade(graphFromDiff(answer));
  const uncovered = answer.summary.uncovered ?? 0;
  const notes = [
    groupedBy && `There are too many services to read: shown by ${groupedBy}.`,
    leftOut && `${leftOut} less busy dependencies are left out.`,
    uncovered && `Of ${uncovered} dependencies nothing can be said: no layer saw both times alike.`,
  ];
  const { added = 0, removed = 0, changed = 0, unchanged = 0 } = answer.summary;
  return {
    graph,
    at: Date.parse(answer.after.to),
    windowMs: answer.after.seconds * 1000,
    before: Date.parse(answer.before.to),
    grouping: state.group || groupedBy,
    note: notes.filter(Boolean).join(' '),
    total: added + removed + changed + unchanged,
    summary: `${added} added, ${removed} removed, ${changed} changed, ${unchanged} unchanged`,
  };
}

function graphQuery(state: State): Record<string, string> {
  const query = windowQuery(state);
  if (state.group) query.group_by = state.group;
  if (state.namespace) query.namespace = state.namespace;
  if (state.focus) Object.assign(query, { focus: state.focus, depth: String(state.depth), direction: state.direction });
  if (state.colour === 'latency' || state.label === 'latency') query.measures = 'full';
  return query;
}

/** The places of a grouping. */
export async function readPositions(asking: Asking, grouping: string): Promise<Positions | null> {
  const answer = (await asking.ask(`positions ${grouping}`, 'api/v1/positions', grouping ? { group_by: grouping } : {})) as {
    nodes: string[];
    x: number[];
    y: number[];
  } | null;
  return answer && new Map(answer.nodes.map((id, at) => [id, [answer.x[at], answer.y[at]]]));
}

/** The span of the slider as the server takes it. */
export function spanQuery(state: State, nowMs: number): Record<string, string> {
  const { from, to } = spanOf(state, nowMs);
  return { from: rfc3339(from), to: rfc3339(to) };
}

/**
 * When the latest data are from, Unix milliseconds; null when the store is empty. Looks at ten years, then ever nearer:
 * whoever loaded history of last spring finds it.
 */
export async function latestData(asking: Asking, nowMs: number): Promise<number | null> {
  let [from, to] = [nowMs - 10 * 365 * 86_400_000, nowMs + 86_400_000];
  for (;;) {
    const answer = (await asking.ask('latest', 'api/v1/timeline', { from: rfc3339(from), to: rfc3339(to) })) as {
      time: string[];
      edges: number[];
      step_seconds: number;
    } | null;
    const last = answer ? answer.edges.findLastIndex((count) => count > 0) : -1;
    if (!answer || last < 0) return null;
    const begin = Date.parse(answer.time[last]);
    const step = answer.step_seconds * 1000;
    if (step <= 60_000 || (begin <= from && begin + step >= to)) return Math.min(begin + step, timeMs('now', nowMs));
    [from, to] = [begin, begin + step];
  }
}
