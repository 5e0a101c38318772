/** The dashboard: the topology, a neighbour, variables, time. What it shows is in the page's address. */

import { DashboardCursorSync } from '@grafana/schema';
import {
  AdHocFiltersVariable,
  EmbeddedScene,
  QueryVariable,
  SceneControlsSpacer,
  SceneFlexItem,
  SceneFlexLayout,
  SceneQueryRunner,
  SceneTimePicker,
  SceneTimeRange,
  SceneVariableSet,
  TextBoxVariable,
  VariableValueSelectors,
  VizPanel,
  behaviors,
} from '@grafana/scenes';

import { DATA_SOURCE, PANEL_ID } from './services';

const LINK = { title: 'Metrics of ${__value.raw}', url: '/d/metrics?var-service=${__data.fields.id}&var-ns=${namespace}' };

/** @param settings the page's address: `from`, `to`, `span`, `edgeLabel`, `height`. */
export function dashboardOf(settings: URLSearchParams): EmbeddedScene {
  const get = (name: string, otherwise: string) => settings.get(name) ?? otherwise;
  const query = (refId: string, more: object) => ({ refId, datasource: DATA_SOURCE, ...more });
  return new EmbeddedScene({
    $timeRange: new SceneTimeRange({ from: get('from', 'now-15m'), to: get('to', 'now'), timeZone: 'utc' }),
    $behaviors: [new behaviors.CursorSync({ key: 'sync', sync: DashboardCursorSync.Crosshair })],
    $variables: variables(),
    controls: [new VariableValueSelectors({}), new SceneControlsSpacer(), new SceneTimePicker({})],
    body: new SceneFlexLayout({
      direction: 'column',
      children: [
        new SceneFlexItem({
          minHeight: Number(get('height', '640')),
          body: new VizPanel({
            title: 'Topology',
            pluginId: PANEL_ID,
            options: { edgeLabel: get('edgeLabel', 'rate'), serviceVariable: 'service' },
            fieldConfig: { defaults: {}, overrides: [linksOf('title')] } as never,
            $data: new SceneQueryRunner({
              datasource: DATA_SOURCE,
              queries: [
                query('A', { queryType: 'graph', compare: '$compare', namespace: '$namespace' }),
                query('B', { queryType: 'timeline', span: get('span', '1h') }),
                query('C', { queryType: 'events', span: get('span', '1h') }),
              ],
            }),
          }),
        }),
        new SceneFlexItem({
          height: 140,
          body: new VizPanel({
            title: 'Neighbour of $service',
            pluginId: 'neighbour',
            $data: new SceneQueryRunner({
              datasource: DATA_SOURCE,
              queries: [query('A', { queryType: 'services', search: '$service' })],
            }),
          }),
        }),
      ],
    }),
  });
}

function linksOf(field: string) {
  return { matcher: { id: 'byName', options: field }, properties: [{ id: 'links', value: [LINK] }] };
}

function variables(): SceneVariableSet {
  return new SceneVariableSet({
    variables: [
      new TextBoxVariable({ name: 'compare', value: '' }),
      new QueryVariable({
        name: 'namespace',
        datasource: DATA_SOURCE,
        query: 'namespaces()',
        includeAll: true,
        value: '$__all',
        text: 'All',
      }),
      new TextBoxVariable({ name: 'service', value: '' }),
      new AdHocFiltersVariable({ name: 'filters', datasource: DATA_SOURCE, applyMode: 'auto' }),
    ],
  });
}
