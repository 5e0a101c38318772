import type { DataQueryRequest, DataSourceInstanceSettings } from '@grafana/data';
import { dateTime } from '@grafana/data';
import { setBackendSrv, setTemplateSrv } from '@grafana/runtime';
import type { BackendSrv, BackendSrvRequest, TemplateSrv } from '@grafana/runtime';
import { of, throwError } from 'rxjs';

import graph from '../../testdata/graph.json';
import { TopologyDataSource } from '../datasource';
import { problemText } from '../problems';
import type { TopologyQuery } from '../types';
import { parseVariableQuery, valuesOf } from '../variables';

const SETTINGS = { url: '/proxy' } as DataSourceInstanceSettings;
const RANGE = { from: dateTime(graph.window.from), to: dateTime(graph.window.to), raw: { from: '', to: '' } };

/** Only the wire is not real: what the server answers is recorded, what it was asked is kept. */
function wire(answer: (request: BackendSrvRequest) => unknown): BackendSrvRequest[] {
  const asked: BackendSrvRequest[] = [];
  const fetch = (request: BackendSrvRequest) => {
    asked.push(request);
    const data = answer(request);
    return data instanceof Error || (data as { status?: number }).status ? throwError(() => data) : of({ data });
  };
  setBackendSrv({ fetch } as unknown as BackendSrv);
  setTemplateSrv({ replace: (text?: string) => (text ?? '').replace('$ns', 'shop') } as unknown as TemplateSrv);
  return asked;
}

const ask = (...targets: TopologyQuery[]) =>
  new TopologyDataSource(SETTINGS).query({ targets, range: RANGE, scopedVars: {} } as unknown as DataQueryRequest<TopologyQuery>);

describe('the data source', () => {
  it('replaces variables, and places nodes where the server says', async () => {
    const { nodes } = graph;
    const places = { nodes: nodes.map(({ id }) => id), x: nodes.map((_, at) => at), y: nodes.map(() => 0) };
    const asked = wire(({ url }) => (url.endsWith('positions') ? places : graph));
    const { data } = await ask({ refId: 'A', namespace: '$ns' });
    expect(asked.map(({ url }) => url)).toEqual(['/proxy/api/v1/graph', '/proxy/api/v1/positions']);
    expect(asked[0].params).toMatchObject({ namespace: 'shop' });
    expect(data[0].fields.map(({ name }: { name: string }) => name)).toContain('fixedx');
  });

  it('answers one query when another fails, and says why in the server’s words', async () => {
    wire(({ url }) => (url.endsWith('timeline') ? { status: 422, data: { detail: 'the window is empty' } } : graph));
    const { data, errors } = await ask({ refId: 'A' }, { refId: 'B', queryType: 'timeline' });
    expect(data.map(({ refId }) => refId)).toEqual(['A', 'A']);
    expect(errors).toEqual([{ refId: 'B', message: 'the window is empty' }]);
  });

  it('says in its health check what it found, or what to do', async () => {
    wire(() => graph);
    const found = await new TopologyDataSource(SETTINGS).testDatasource();
    expect(found.message).toContain(`${graph.totals.nodes} services`);
    wire(() => ({ status: 502, data: {} }));
    const lost = await new TopologyDataSource(SETTINGS).testDatasource();
    expect(lost).toMatchObject({ status: 'error', message: expect.stringContaining('cannot reach') });
  });
});

describe('words', () => {
  it('reads queries of variables', () => {
    expect(parseVariableQuery(' services( namespace = "shop", kind=database ) ')).toEqual({
      values: 'services',
      parameters: { namespace: 'shop', kind: 'database' },
    });
    expect(() => parseVariableQuery('label_values(job)')).toThrow(/services\(\)/);
    expect(() => parseVariableQuery('services(colour=red)')).toThrow(/“colour=red”/);
    expect(valuesOf({ services: [{ namespace: 'b' }, { namespace: '' }, { namespace: 'a' }, { namespace: 'b' }] }, 'namespaces')).toEqual(['a', 'b']);
  });

  it('says what a status means for whoever reads the panel', () => {
    const of = (status: number, data: unknown = {}) => problemText({ status, statusText: 'X', data, config: { url: '' } });
    expect(of(403)).toMatch(/refuses access/);
    expect(of(404)).toMatch(/no chronotope API/);
    expect(of(400, { title: 'Invalid time', detail: 'at soon is no time' })).toBe('Invalid time: at soon is no time');
    expect(problemText(new Error('plain'))).toBe('plain');
  });
});
