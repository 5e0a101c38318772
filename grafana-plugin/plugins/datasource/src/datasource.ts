/** The data source: asks the server through Grafana's data proxy, and answers in frames. */

import { DataSourceApi } from '@grafana/data';
import type {
  DataFrame,
  DataQueryRequest,
  DataQueryResponse,
  DataSourceInstanceSettings,
  MetricFindValue,
  ScopedVars,
} from '@grafana/data';
import { getBackendSrv, getTemplateSrv } from '@grafana/runtime';
import { lastValueFrom } from 'rxjs';

import { graphFromApi, graphFromDiff } from '../../../core/src/api.ts';
import { graphFrames } from './frames/graph';
import type { Positions } from './frames/graph';
import { blastRadiusFrame, cyclesFrames, pathsFrames, singlePointsFrame } from './frames/questions';
import { eventsFrame, servicesFrame } from './frames/tables';
import { edgeFrames, timelineFrame } from './frames/timeline';
import { problemText } from './problems';
import { FILTER_KEYS, requestOf } from './request';
import type { Filter } from './request';
import { DEFAULT_QUERY } from './types';
import type { TopologyOptions, TopologyQuery } from './types';
import { parseVariableQuery, valuesOf } from './variables';

type Json = Record<string, unknown>;
type Parameters = Readonly<Record<string, string>>;

const NO_PLACES: Positions = new Map();
const LISTED: Readonly<Record<string, string>> = { namespace: 'namespaces', kind: 'kinds', focus: 'services' };
const FIXED: Readonly<Record<string, string[]>> = {
  layers: ['network', 'ipc', 'trace'],
  protocol: ['http', 'grpc', 'tcp', 'udp', 'redis', 'postgresql', 'mysql', 'mongodb', 'kafka', 'rabbitmq', 'amqp', 'dns'],
};

export class TopologyDataSource extends DataSourceApi<TopologyQuery, TopologyOptions> {
  readonly annotations = { getDefaultQuery: () => ({ queryType: 'events' as const }) };
  readonly #url: string;

  constructor(settings: DataSourceInstanceSettings<TopologyOptions>) {
    super(settings);
    this.#url = settings.url ?? '';
  }

  getDefaultQuery(): Partial<TopologyQuery> {
    return DEFAULT_QUERY;
  }

  async query(request: DataQueryRequest<TopologyQuery>): Promise<DataQueryResponse> {
    const targets = request.targets.filter((target) => !target.hide).map((target) => ({ ...DEFAULT_QUERY, ...target }));
    const answers = await Promise.all(targets.map((target) => this.#answer(target, request)));
    const errors = answers.flatMap(({ error }) => (error ? [error] : []));
    const data = answers.flatMap(({ frames }) => frames);
    return errors.length > 0 ? { data, errors } : { data };
  }

  /** One query's frames; its failure is its own, the other queries are answered all the same. */
  async #answer(target: TopologyQuery, request: DataQueryRequest<TopologyQuery>) {
    const refId = target.refId;
    try {
      const range = { from: request.range.from.valueOf(), to: request.range.to.valueOf() };
      const filters: Filter[] = request.filters ?? [];
      const query = replaceVariables(target, request.scopedVars);
      const { path, parameters } = requestOf(query, range, filters, Date.now());
      const [answer, places] = await Promise.all([this.#get(`api/v1/${path}`, parameters), this.#places(query)]);
      return { frames: framesOf(query, answer, places, refId) };
    } catch (error) {
      return { frames: [], error: { refId, message: problemText(error) } };
    }
  }

  /** Where services are drawn. Without an answer the panel finds places itself: no reason to show nothing. */
  async #places({ queryType, groupBy }: TopologyQuery): Promise<Positions> {
    if (queryType !== 'graph') {
      return NO_PLACES;
    }
    const parameters: Parameters = groupBy ? { group_by: groupBy } : {};
    return this.#get('api/v1/positions', parameters)
      .then(positionsOf)
      .catch(() => NO_PLACES);
  }

  async metricFindQuery(text: string): Promise<MetricFindValue[]> {
    const { values, parameters } = parseVariableQuery(getTemplateSrv().replace(text));
    const answer = await this.#get('api/v1/services', { window: '24h', ...parameters });
    return valuesOf(answer, values).map((value) => ({ text: value }));
  }

  async getTagKeys(): Promise<MetricFindValue[]> {
    return FILTER_KEYS.map((key) => ({ text: key }));
  }

  async getTagValues({ key }: { key: string }): Promise<MetricFindValue[]> {
    const list = LISTED[key];
    return list ? this.metricFindQuery(`${list}()`) : (FIXED[key] ?? []).map((text) => ({ text }));
  }

  async testDatasource() {
    try {
      await this.#get('readyz');
      const { totals } = await this.#get('api/v1/graph', { window: '1h', limit: '1' });
      const { nodes, edges } = (totals ?? {}) as Json;
      return { status: 'success', message: `Connected. In the last hour: ${nodes} services, ${edges} dependencies.` };
    } catch (error) {
      return { status: 'error', message: problemText(error) };
    }
  }

  async #get(path: string, params: Parameters = {}): Promise<Json> {
    const response = getBackendSrv().fetch<Json>({ url: `${this.#url}/${path}`, params, showErrorAlert: false });
    return (await lastValueFrom(response)).data;
  }
}

function replaceVariables(query: TopologyQuery, scoped: ScopedVars): TopologyQuery {
  const replaced = Object.entries(query).map(([key, value]) => [
    key,
    typeof value === 'string' ? withoutAll(getTemplateSrv().replace(value, scoped, 'csv')) : value,
  ]);
  return Object.fromEntries(replaced);
}

/** A variable that stands for everything is no filter. */
function withoutAll(value: string): string {
  return value === '$__all' || value === 'All' ? '' : value;
}

function framesOf(query: TopologyQuery, answer: Json, places: Positions, refId: string): DataFrame[] {
  switch (query.queryType) {
    case 'timeline':
      return [timelineFrame(answer, refId)];
    case 'edge':
      return edgeFrames(answer, refId);
    case 'services':
      return [servicesFrame(answer, refId)];
    case 'blastRadius':
      return [blastRadiusFrame(answer, refId)];
    case 'paths':
      return pathsFrames(answer, refId);
    case 'cycles':
      return cyclesFrames(answer, refId);
    case 'singlePoints':
      return [singlePointsFrame(answer, refId)];
    case 'events':
      return [eventsFrame(answer, refId)];
    default:
      return topologyFrames(answer, Boolean(query.compare), places, refId);
  }
}

function topologyFrames(answer: Json, compared: boolean, places: Positions, refId: string): DataFrame[] {
  const graph = compared ? graphFromDiff(answer) : graphFromApi(answer);
  const window = (compared ? answer.after : answer.window) as { from: string; to: string };
  return graphFrames(graph, places, { truncated: answer.truncated === true, compared, window }, refId);
}

function positionsOf({ nodes, x, y }: Json): Positions {
  const [ids, xs, ys] = [nodes, x, y] as [string[], number[], number[]];
  return new Map(ids.map((name, at) => [name, [xs[at], ys[at]]]));
}
