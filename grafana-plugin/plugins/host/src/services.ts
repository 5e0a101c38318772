/** The services that Grafana gives to plugins and scenes, as far as a dashboard page needs them. */

import type {
  BackendSrv,
  BackendSrvRequest,
  DataSourceSrv,
  FetchError,
  FetchResponse,
  TemplateSrv,
} from '@grafana/runtime';
import {
  setAppEvents,
  setBackendSrv,
  setDataSourceSrv,
  setEchoSrv,
  setPluginImportUtils,
  setRunRequest,
  setTemplateSrv,
} from '@grafana/runtime';
import {
  EventBusSrv,
  LoadingState,
  getDefaultTimeRange,
  standardEditorsRegistry,
  standardFieldConfigEditorRegistry,
  toDataFrame,
} from '@grafana/data';
import type {
  DataSourceApi,
  DataSourceInstanceSettings,
  DataSourcePlugin,
  PanelData,
  PanelPlugin,
  PanelPluginMeta,
} from '@grafana/data';
import { sceneGraph } from '@grafana/scenes';
import type { SceneObject } from '@grafana/scenes';
import { from, of } from 'rxjs';
import type { Observable } from 'rxjs';
import { catchError, map, startWith } from 'rxjs/operators';

import { importPlugin } from './modules';
import { neighbour } from './neighbour';

export const DATA_SOURCE = { type: 'chronotope-topology-datasource', uid: 'topology' };
export const PANEL_ID = 'chronotope-topology-panel';
const PANELS = new Map<string, PanelPlugin>();

/** The editors that panels name in their options; a dashboard that is not edited shows none of them. */
const EDITORS = ['text', 'number', 'select', 'boolean', 'radio', 'color', 'unit', 'thresholds', 'mappings', 'links'];

/** Set all services; scenes and plugins may be used after it. */
export async function setServices(scene: () => SceneObject): Promise<void> {
  standardEditorsRegistry.setInit(() => EDITORS.map((id) => ({ id, name: id, editor: () => null })));
  standardFieldConfigEditorRegistry.setInit(standardFields);
  setEchoSrv({ addEvent: () => undefined, addBackend: () => undefined, flush: () => undefined, onInteraction: () => () => undefined });
  setAppEvents(new EventBusSrv());
  setBackendSrv({ fetch: fetchAs } as unknown as BackendSrv);
  setTemplateSrv(templates(scene));
  PANELS.set('neighbour', withMeta(neighbour, 'neighbour'));
  PANELS.set(PANEL_ID, withMeta(await importPlugin<PanelPlugin>(PANEL_ID), PANEL_ID));
  setPluginImportUtils({
    importPanelPlugin: async (id) => PANELS.get(id)!,
    getPanelPluginFromCache: (id) => PANELS.get(id),
  });
  const source = await dataSource();
  setDataSourceSrv({
    get: async () => source,
    getList: () => [source.instanceSettings],
    getInstanceSettings: () => source.instanceSettings,
    reload: () => undefined,
  } as unknown as DataSourceSrv);
  setRunRequest(runRequest as Parameters<typeof setRunRequest>[0]);
}

/** The field options that the tests use, as Grafana has them for every panel. */
function standardFields() {
  const field = <T>(id: string, process: (value: T) => unknown = (value) => value) => ({
    id,
    path: id,
    name: id,
    editor: () => null,
    override: () => null,
    process,
    shouldApply: () => true,
    settings: {},
  });
  return ['unit', 'displayName', 'decimals', 'min', 'max', 'links', 'thresholds', 'color', 'mappings'].map((id) => field(id));
}

function withMeta(plugin: PanelPlugin, id: string): PanelPlugin {
  plugin.meta = { id, name: id, type: 'panel', module: '', baseUrl: '', sort: 1, info: { version: '' } } as PanelPluginMeta;
  return plugin;
}

async function dataSource() {
  const plugin = await importPlugin<DataSourcePlugin<DataSourceApi>>(DATA_SOURCE.type);
  const instanceSettings = {
    ...DATA_SOURCE,
    id: 1,
    name: 'chronotope',
    url: `/api/datasources/proxy/uid/${DATA_SOURCE.uid}`,
    access: 'proxy',
    readOnly: false,
    jsonData: {},
    meta: { id: DATA_SOURCE.type, name: 'chronotope', annotations: true, metrics: true },
  } as unknown as DataSourceInstanceSettings;
  const made = new plugin.DataSourceClass(instanceSettings);
  return Object.assign(made, { instanceSettings, components: plugin.components, meta: instanceSettings.meta });
}

/** Grafana's `fetch`: answers of errors are thrown, with their parsed body. */
function fetchAs<T>(options: BackendSrvRequest): Observable<FetchResponse<T>> {
  return from(request<T>(options));
}

async function request<T>({ url, params, method = 'GET' }: BackendSrvRequest): Promise<FetchResponse<T>> {
  const query = new URLSearchParams(params as Record<string, string>).toString();
  const answer = await fetch(query ? `${url}?${query}` : url, { method });
  const text = await answer.text();
  const data = (answer.headers.get('content-type') ?? '').includes('json') ? JSON.parse(text) : text;
  const { status, statusText } = answer;
  if (!answer.ok) {
    throw { status, statusText, data, config: { url } } satisfies FetchError;
  }
  return { status, statusText, data, ok: true } as FetchResponse<T>;
}

function templates(scene: () => SceneObject): TemplateSrv {
  const replace: TemplateSrv['replace'] = (text, scoped, format) => {
    const scoping = scoped?.__sceneObject?.value as { valueOf(): SceneObject } | undefined;
    return sceneGraph.interpolate(scoping?.valueOf() ?? scene(), text, scoped, format as never);
  };
  return { replace, getVariables: () => [], getAdhocFilters: () => [], containsTemplate: (text?: string) => /\$\w|\$\{/.test(text ?? '') } as unknown as TemplateSrv;
}

type Request = Parameters<DataSourceApi['query']>[0];

function runRequest(source: DataSourceApi, asked: Request): Observable<PanelData> {
  const base = { series: [], timeRange: asked.range ?? getDefaultTimeRange(), request: asked };
  return from(source.query(asked) as Promise<{ data: unknown[]; errors?: PanelData['errors'] }>).pipe(
    map(({ data, errors }) => ({
      ...base,
      series: data.map(toDataFrame),
      state: errors ? LoadingState.Error : LoadingState.Done,
      ...(errors && { errors, error: errors[0] }),
    })),
    catchError((error: Error) => of({ ...base, state: LoadingState.Error, error: { message: error.message } })),
    startWith({ ...base, state: LoadingState.Loading })
  );
}
