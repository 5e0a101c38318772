/** From a query and a time range to a route of the HTTP API and its parameters. Pure; variables are replaced before. */

import { durationText, spanAround } from './times';
import type { QueryType, TopologyQuery } from './types';

export interface Interval {
  readonly from: number;
  readonly to: number;
}

/** One condition of the dashboard's ad hoc filters. */
export interface Filter {
  readonly key: string;
  readonly operator: string;
  readonly value: string;
}

export interface Request {
  readonly path: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** What ad hoc filters may be about, and the parameter that each is. */
export const FILTER_KEYS = ['namespace', 'kind', 'protocol', 'layers', 'focus'] as const;

const MAX_EVENTS = 1000;

/**
 * The request that answers a query.
 *
 * @param now Unix milliseconds; nothing later is asked of a timeline.
 * @throws Error an ad hoc filter that the API cannot answer, or an edge query without an edge.
 */
export function requestOf(query: TopologyQuery, range: Interval, filters: readonly Filter[], now: number): Request {
  const asked = withFilters(query, filters);
  const { path, parameters } = ROUTES[query.queryType ?? 'graph'](asked, range, now);
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== '');
  return { path, parameters: Object.fromEntries(given.map(([name, value]) => [name, String(value)])) };
}

type Parameters = Record<string, string | number | undefined>;
type Route = (query: TopologyQuery, range: Interval, now: number) => { path: string; parameters: Parameters };

const ROUTES: Record<QueryType, Route> = {
  graph: (query, range) => (query.compare ? diff(query, range) : graph(query, range)),
  timeline: (query, range, now) => ({
    path: 'timeline',
    parameters: {
      ...times(spanOf(query, range, now)),
      layers: query.layers,
      view: query.view,
      protocol: query.protocol,
    },
  }),
  edge: (query, range) => {
    if (!query.edge) {
      throw new Error('Choose an edge: its id stands in the details of the topology panel.');
    }
    const { layers, view } = query;
    const parameters = { ...times(range), layers, view, measures: 'full' };
    return { path: `edges/${encodeURIComponent(query.edge)}`, parameters };
  },
  services: ({ layers, view, namespace, kind, search }, range) => ({
    path: 'services',
    parameters: { ...times(range), layers, view, namespace, kind, search },
  }),
  blastRadius: ({ service, layers, view }, range) => {
    if (!service) {
      throw new Error('Choose the service whose blast radius is asked for, such as shop/cart or $service.');
    }
    return { path: `services/${encodeURIComponent(service)}/blast-radius`, parameters: { ...times(range), layers, view } };
  },
  paths: ({ source, target, layers, view, limit }, range) => {
    if (!source || !target) {
      throw new Error('Choose the service where paths begin and the one where they end, such as shop/front and shop/orders-db.');
    }
    return { path: 'paths', parameters: { source, target, ...times(range), layers, view, limit } };
  },
  cycles: ({ layers, view }, range) => ({ path: 'cycles', parameters: { ...times(range), layers, view } }),
  singlePoints: ({ layers, view }, range) => ({ path: 'single-points-of-failure', parameters: { ...times(range), layers, view } }),
  events: (query, range, now) => ({
    path: 'events',
    parameters: {
      ...times(spanOf(query, range, now)),
      type: query.eventType,
      service: query.service,
      limit: query.limit ?? MAX_EVENTS,
    },
  }),
};

function graph(query: TopologyQuery, range: Interval): ReturnType<Route> {
  return { path: 'graph', parameters: { ...times(range), ...filtersOf(query), limit: query.limit } };
}

/** Two windows as long as the dashboard's range: that one, and the one to compare with. */
function diff(query: TopologyQuery, range: Interval): ReturnType<Route> {
  const parameters = {
    before: query.compare,
    after: iso(range.to),
    window: durationText(range.to - range.from),
    include: 'unchanged',
    ...filtersOf(query),
    limit: query.limit,
  };
  return { path: 'diff', parameters };
}

function filtersOf(query: TopologyQuery): Parameters {
  const { layers, view, namespace, kind, protocol, search, focus, groupBy, full } = query;
  const near = focus ? { focus, depth: query.depth, direction: query.direction } : {};
  const measures = full === false ? undefined : 'full';
  return { layers, view, namespace, kind, protocol, search, group_by: groupBy, measures, ...near };
}

function spanOf({ span }: TopologyQuery, range: Interval, now: number): Interval {
  return span ? spanAround(range, span, now) : range;
}

function times({ from, to }: Interval): Parameters {
  return { from: iso(from), to: iso(to) };
}

function iso(instant: number): string {
  return new Date(instant).toISOString();
}

/** The query with the dashboard's filters: conditions on one key are alternatives, and go before the query's own. */
function withFilters(query: TopologyQuery, filters: readonly Filter[]): TopologyQuery {
  const values = new Map<string, string[]>();
  for (const { key, operator, value } of filters) {
    if (!FILTER_KEYS.some((known) => known === key)) {
      throw new Error(`The filter “${key}” is not known here. Filters may be about ${FILTER_KEYS.join(', ')}.`);
    }
    if (operator !== '=' && operator !== '=|') {
      throw new Error(`The filter “${key} ${operator} ${value}” cannot be answered: only = is.`);
    }
    values.set(key, [...(values.get(key) ?? []), value]);
  }
  return { ...query, ...Object.fromEntries([...values].map(([key, given]) => [key, given.join(',')])) };
}
