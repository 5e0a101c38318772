/** What the data source sends is what the panel draws; so is what other sources of the node graph contract send. */

import { FieldType, createDataFrame, createTheme } from '@grafana/data';

import { graphFromApi, graphFromDiff } from '../../../../core/src/index.ts';
import diff from '../../../datasource/testdata/diff.json';
import graph from '../../../datasource/testdata/graph.json';
import events from '../../../datasource/testdata/events.json';
import timeline from '../../../datasource/testdata/timeline.json';
import { graphFrames } from '../../../datasource/src/frames/graph';
import { eventsFrame } from '../../../datasource/src/frames/tables';
import { timelineFrame } from '../../../datasource/src/frames/timeline';
import { marksOf, timelineOf, topologyOf } from '../frames';
import { found, neighbourhood } from '../neighbourhood';

const THEME = createTheme();
const META = { truncated: false, compared: false, window: graph.window };

describe('frames of our data source', () => {
  it('come back as the graph they were made of', () => {
    const sent = graphFromApi(graph);
    const got = topologyOf(graphFrames(sent, new Map(), META, 'A'), THEME)!;
    expect(got.graph.nodes).toEqual(sent.nodes);
    expect(got.graph.edges.map(({ shown, ...edge }) => edge)).toEqual(sent.edges);
  });

  it('keep the statuses and measures of a comparison', () => {
    const sent = graphFromDiff(diff);
    const got = topologyOf(graphFrames(sent, new Map(), { ...META, compared: true }, 'A'), THEME)!;
    expect(got.compared).toBe(true);
    expect(got.graph.edges.map(({ shown, ...edge }) => edge)).toEqual(sent.edges);
  });

  it('bring places, and the value in the unit of the field', () => {
    const places = new Map(graph.nodes.map(({ id }, at) => [id, [at, 2 * at] as const]));
    const got = topologyOf(graphFrames(graphFromApi(graph), places, META, 'A'), THEME)!;
    expect(got.positions).toEqual(places);
    expect(got.graph.edges[0].shown?.text).toMatch(/ req\/s$/);
  });

  it('bring the timeline with what changed', () => {
    const got = timelineOf([timelineFrame(timeline, 'B')])!;
    expect(got.stepMs).toBe(timeline.step_seconds * 1000);
    expect(got.changes).toEqual(timeline.added.map((count, at) => count + (timeline.removed[at] ?? 0)));
  });
});

describe('events', () => {
  it('become marks that say what happened', () => {
    const [first] = marksOf([eventsFrame(events, 'C')]);
    expect(first.time).toBe(Date.parse(events.events[0].time));
    expect(topologyOf([eventsFrame(events, 'C')], THEME)).toBeNull();
    expect(first.title).toMatch(/^New dependency: .* → promo/);
  });
});

describe('frames of others', () => {
  it('are drawn from edges alone', () => {
    const edges = createDataFrame({
      fields: [
        { name: 'id', type: FieldType.string, values: ['1'] },
        { name: 'source', type: FieldType.string, values: ['a'] },
        { name: 'target', type: FieldType.string, values: ['b'] },
        { name: 'mainStat', type: FieldType.number, values: [3] },
      ],
    });
    const got = topologyOf([edges], THEME)!;
    expect(got.graph.nodes.map(({ id }) => id)).toEqual(['a', 'b']);
    expect(got.graph.edges[0].measures.trace?.callsPerSecond).toBe(3);
  });

  it('are none when they are no graph', () => {
    const series = createDataFrame({ fields: [{ name: 'time', type: FieldType.time, values: [1] }] });
    expect(topologyOf([series], THEME)).toBeNull();
    expect(timelineOf([series])).toBeNull();
  });
});

describe('the neighbourhood', () => {
  const { nodes, edges } = graphFromApi(graph);
  const payment = nodes.find(({ name }) => name === 'payment')!.id;

  it('grows hop by hop, along and against the calls, to all that is reached', () => {
    const sizes = [1, 2, 3, 50].map((hops) => neighbourhood({ nodes, edges }, payment, hops).nodes.length);
    expect(sizes).toEqual([...sizes].sort((a, b) => a - b));
    const near = edges.filter(({ target }) => target === payment).map(({ source }) => source);
    expect(neighbourhood({ nodes, edges }, payment, 1).nodes.map(({ id }) => id).sort()).toEqual([payment, ...near].sort());
  });

  it('is everything when the service is gone', () => {
    expect(neighbourhood({ nodes, edges }, 'gone', 1).nodes).toBe(nodes);
  });

  it('is found by any part of a name', () => {
    expect(found({ nodes, edges }, ' PAYM ')).toEqual([payment]);
    expect(found({ nodes, edges }, ' ')).toEqual([]);
  });
});
