/** Answers of a real server (the recorded live system, one minute) become frames. */

import type { DataFrame } from '@grafana/data';
import { FieldType } from '@grafana/data';

import { graphFromApi, graphFromDiff } from '../../../../core/src/index.ts';
import diff from '../../testdata/diff.json';
import edge from '../../testdata/edge.json';
import events from '../../testdata/events.json';
import graph from '../../testdata/graph.json';
import services from '../../testdata/services.json';
import timeline from '../../testdata/timeline.json';
import { graphFrames } from '../frames/graph';
import { blastRadiusFrame, cyclesFrames, pathsFrames, singlePointsFrame } from '../frames/questions';
import { eventsFrame, servicesFrame } from '../frames/tables';
import { edgeFrames, timelineFrame } from '../frames/timeline';

const META = { truncated: false, compared: false, window: graph.window };
const values = (frame: DataFrame, name: string) => frame.fields.find((field) => field.name === name)?.values;

describe('graph frames', () => {
  const [nodes, edges] = graphFrames(graphFromApi(graph), new Map(), META, 'A');

  it('keep the node graph contract', () => {
    expect([nodes.name, nodes.length, edges.name, edges.length]).toEqual(['nodes', graph.nodes.length, 'edges', graph.edges.length]);
    expect(nodes.meta?.preferredVisualisationType).toBe('nodeGraph');
    const ids = new Set(values(nodes, 'id'));
    expect(new Set([...values(edges, 'source')!, ...values(edges, 'target')!])).toEqual(ids);
    const [ok, errors] = ['arc__ok', 'arc__errors'].map((name) => values(nodes, name)!);
    ok.forEach((share, row) => expect([0, 1]).toContain(Number((share + errors[row]).toFixed(9))));
  });

  it('hold the rates that the server answered', () => {
    const row = values(edges, 'id')!.indexOf(edge.id);
    const own = graph.edges.find(({ id }) => id === edge.id)!;
    expect(values(edges, 'mainstat')![row]).toBe(own.evidence.trace.calls_per_second);
    expect(values(edges, 'detail__latency')![row]).toBe(own.evidence.trace.latency_ms.p95);
    expect(edges.fields.find(({ name }) => name === 'mainstat')?.config.unit).toBe('reqps');
  });

  it('have places for all nodes or for none', () => {
    expect(values(nodes, 'fixedx')).toBeUndefined();
    const some = new Map(graph.nodes.slice(1).map(({ id }, at) => [id, [at, at] as const]));
    expect(values(graphFrames(graphFromApi(graph), some, META, 'A')[0], 'fixedx')).toBeUndefined();
    const all = new Map(graph.nodes.map(({ id }, at) => [id, [at, -at] as const]));
    expect(values(graphFrames(graphFromApi(graph), all, META, 'A')[0], 'fixedy')).toEqual(graph.nodes.map((_, at) => -at));
  });

  it('say of a comparison what was added', () => {
    const [, compared] = graphFrames(graphFromDiff(diff), new Map(), { ...META, compared: true }, 'A');
    const added = diff.edges.filter(({ status }) => status === 'added').length;
    expect(added).toBeGreaterThan(0);
    expect(values(compared, 'status')!.filter((status) => status === 'added')).toHaveLength(added);
  });
});

describe('other frames', () => {
  it('have the timeline’s columns', () => {
    const frame = timelineFrame(timeline, 'A');
    expect(frame.fields[0].type).toBe(FieldType.time);
    expect(values(frame, 'time')![0]).toBe(Date.parse(timeline.time[0]));
    expect(values(frame, 'calls')).toEqual(timeline.calls);
  });

  it('have one edge’s measures by layer, and none that are not there', () => {
    const [trace] = edgeFrames(edge, 'A');
    expect(values(trace, 'calls_per_second')).toEqual(edge.evidence.trace.calls_per_second);
    expect(values(trace, 'bytes_sent')).toBeUndefined();
    expect(trace.fields[1].labels).toMatchObject({ layer: 'trace' });
  });

  it('list who depends on a service', () => {
    const callers = [{ service: 'shop/front', kind: 'service', hops: 2, share: null, calls: 5 }];
    const frame = blastRadiusFrame({ callers }, 'A');
    expect(frame.fields.map(({ values }) => values[0])).toEqual(['shop/front', 'service', 2, null]);
  });

  it('list paths, and draw what they share once', () => {
    const step = (source: string, target: string, calls: number) => ({ source, target, protocols: ['http', 'grpc'], calls, share: null });
    const steps = [step('shop/a', 'shop/b', 9), step('shop/b', 'db', 4), step('shop/b', 'shop/c', 2), step('shop/c', 'db', 7)];
    const paths = [
      { hops: 2, services: ['shop/a', 'shop/b', 'db'], steps: [steps[0], steps[1]] },
      { hops: 3, services: ['shop/a', 'shop/b', 'shop/c', 'db'], steps: [steps[0], steps[2], steps[3]] },
    ];
    const [table, nodes, edges] = pathsFrames({ paths }, 'A');
    expect(values(table, 'path')).toEqual(['shop/a → shop/b → db', 'shop/a → shop/b → shop/c → db']);
    expect(values(table, 'least_calls')).toEqual([4, 2]);
    expect(values(nodes, 'id')).toEqual(['shop/a', 'shop/b', 'db', 'shop/c']);
    expect(values(nodes, 'title')).toEqual(['a', 'b', 'db', 'c']);
    expect(values(nodes, 'subtitle')).toEqual(['shop', 'shop', '', 'shop']);
    expect([values(edges, 'source'), values(edges, 'detail__calls')]).toEqual([['shop/a', 'shop/b', 'shop/b', 'shop/c'], [9, 4, 2, 7]]);
    const none = pathsFrames({ paths: [], note: 'No calls lead there.' }, 'A');
    expect(none.map(({ length }) => length)).toEqual([0, 0, 0]);
    expect(none[0].meta?.notices?.[0].text).toBe('No calls lead there.');
  });

  it('list cycles, and close the circle that is drawn', () => {
    const cycles = [{ size: 3, services: ['a', 'b', 'c'], example: ['a', 'c'] }, { size: 1, services: ['d'], example: ['d'] }];
    const [table, nodes, edges] = cyclesFrames({ cycles }, 'A');
    expect(values(table, 'cycle')).toEqual(['a → c → a', 'd → d']);
    expect(values(nodes, 'id')).toEqual(['a', 'c', 'd']);
    expect(values(edges, 'id')).toEqual(['a → c', 'c → a', 'd → d']);
  });

  it('list services without which others cannot be reached', () => {
    const found = { service: 'gate', kind: 'service', callers: 3, cuts_off: 2, services: ['x', 'y'] };
    const frame = singlePointsFrame({ single_points_of_failure: [found] }, 'A');
    expect(frame.fields.map(({ values }) => values[0])).toEqual(['gate', 'service', 3, 2, 'x, y']);
  });

  it('list services and events', () => {
    expect(values(servicesFrame(services, 'A'), 'id')).toEqual(services.services.map(({ id }) => id));
    const frame = eventsFrame(events, 'A');
    expect(frame.length).toBe(events.events.length);
    expect(frame.fields.slice(0, 4).map(({ name }) => name)).toEqual(['time', 'title', 'text', 'tags']);
  });
});
