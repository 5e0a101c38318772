/** What a query asks, as dashboards keep it. */

import type { DataSourceJsonData } from '@grafana/data';
import type { DataQuery } from '@grafana/schema';

export const QUERY_TYPES = ['graph', 'timeline', 'edge', 'services', 'events', 'blastRadius', 'paths', 'cycles', 'singlePoints'] as const;

export type QueryType = (typeof QUERY_TYPES)[number];

/** Every text may hold dashboard variables; lists are comma separated. What is empty is not asked for. */
export interface TopologyQuery extends DataQuery {
  queryType?: QueryType;
  layers?: string;
  view?: 'resolved' | 'hops';
  namespace?: string;
  kind?: string;
  protocol?: string;
  search?: string;
  focus?: string;
  depth?: number;
  direction?: 'both' | 'upstream' | 'downstream';
  groupBy?: string;
  /** Latency quantiles and response codes too. */
  full?: boolean;
  /** Of a graph: the end of the window to compare with: a time, or `-1h`, `-1d`, `-7d`. Empty: no comparison. */
  compare?: string;
  /** Of a timeline or events: how much around the dashboard's time: `6h`, `7d`. Empty: the dashboard's time alone. */
  span?: string;
  /** The id of an edge. */
  edge?: string;
  /** Of events and of a blast radius. */
  service?: string;
  /** Of paths: the service where they begin, and the one where they end. */
  source?: string;
  target?: string;
  eventType?: string;
  limit?: number;
}

export const DEFAULT_QUERY: Partial<TopologyQuery> = { queryType: 'graph', full: true };

export type TopologyOptions = DataSourceJsonData;
