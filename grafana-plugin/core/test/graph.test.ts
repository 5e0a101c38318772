import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adjacencyOf, collapse, degrade, doubtOf, edgesOf, fits, graphFromApi, graphFromDiff, groupings, headline, MOST_EDGES, MOST_NODES, neighbourhood, reach, tableRows, tipOfEdge } from '../src/index.ts';
import type { Graph } from '../src/index.ts';
import { edge, graphOf, measures, node } from './building.ts';

test('hops are counted along callers or callees, and each node once', () => {
  const graph = graphOf('a>b', 'b>c', 'c>d', 'd>b', 'x>b');
  const adjacency = adjacencyOf(graph);
  const from = [adjacency.index.get('b') ?? -1];
  const hops = (depth: number, direction: 'both' | 'upstream' | 'downstream'): Record<string, number> =>
    Object.fromEntries(graph.nodes.map(({ id }, at) => [id, reach(adjacency, from, depth, direction).hops[at]]));
  assert.deepEqual(hops(1, 'downstream'), { a: -1, b: 0, c: 1, d: -1, x: -1 });
  assert.deepEqual(hops(9, 'downstream'), { a: -1, b: 0, c: 1, d: 2, x: -1 });
  assert.deepEqual(hops(1, 'upstream'), { a: 1, b: 0, c: -1, d: 1, x: 1 });
  assert.deepEqual(hops(1, 'both'), { a: 1, b: 0, c: 1, d: 1, x: 1 });
});

test('an edge whose end is no node breaks nothing', () => {
  const graph: Graph = { nodes: [node('a')], edges: [edge('a', 'gone'), edge('a', 'a')] };
  const adjacency = adjacencyOf(graph);
  assert.deepEqual([...edgesOf(adjacency, 0)], [0, 1]);
  assert.equal(reach(adjacency, [0, -1], 3, 'both').hops[0], 0);
  assert.deepEqual(neighbourhood(graph, ['gone'], 2, 'both').nodes, []);
});

test('a collapsed graph keeps the sums between groups, and leaves out what passes inside', () => {
  const graph = graphOf('shop/a>shop/b', 'shop/a>pay/x', 'shop/b>pay/x', 'pay/x>db');
  const grouped = collapse(graph, 'namespace');
  assert.deepEqual(grouped.nodes.map(({ id, members }) => [id, members]), [['shop', 2], ['pay', 1], ['db', undefined]]);
  assert.deepEqual(grouped.edges.map(({ source, target }) => `${source}>${target}`), ['shop>pay', 'pay>db']);
  assert.equal(headline(grouped.edges[0])?.callsPerSecond, 2);
  const opened = collapse(graph, 'namespace', new Set(['shop']));
  assert.deepEqual(opened.nodes.map(({ id }) => id), ['shop/a', 'shop/b', 'pay', 'db']);
  assert.equal(opened.edges.length, 4);
});

test('a group with the name of a service does not become that service', () => {
  const graph = graphOf('shop/a>shop', 'shop/b>shop');
  assert.deepEqual(collapse(graph, 'namespace').nodes.map(({ id }) => id).sort(), ['namespace=shop', 'shop']);
});

test('errors of joined edges are weighted by their calls', () => {
  const graph = graphOf('n/a>m/x', 'n/b>m/x');
  const [first, second] = graph.edges;
  const edges = [
    { ...first, measures: { trace: measures(9, { errorRatio: 0 }) } },
    { ...second, measures: { trace: measures(1, { errorRatio: 1 }) } },
  ];
  const [joined] = collapse({ nodes: graph.nodes, edges }, 'namespace').edges;
  assert.equal(joined.measures.trace?.errorRatio, 0.1);
});

test('only attributes that make fewer nodes can group', () => {
  const nodes = [node('a', { attributes: { team: 'x', pod: '1' } }), node('b', { attributes: { team: 'x', pod: '2' } }), node('c', { attributes: { team: 'y', pod: '3' } })];
  assert.deepEqual(groupings({ nodes, edges: [] }), ['team']);
});

test('what is too large becomes groups, and without groups its busiest edges', () => {
  const many = Array.from({ length: 5000 }, (_, at) => `n${at % 40}/s${at}`);
  const edges = many.flatMap((id, at) => [1, 7, 31, 77, 333, 999].map((step) => edge(id, many[(at + step) % many.length])));
  const grouped = degrade({ nodes: many.map((id) => node(id)), edges });
  assert.equal(grouped.groupedBy, 'namespace');
  assert.equal(grouped.graph.nodes.length, 40);
  const flat = many.map((id) => id.split('/')[1]);
  const plain = edges.map(({ source, target }, at) => edge(source.split('/')[1], target.split('/')[1], { measures: { trace: measures(at) } }));
  const cut = degrade({ nodes: flat.map((id) => node(id)), edges: plain });
  assert.ok(fits(cut.graph) && cut.graph.edges.length > 0 && cut.leftOut > 0);
  assert.ok(cut.graph.nodes.length <= MOST_NODES && cut.graph.edges.length <= MOST_EDGES);
  assert.ok(cut.graph.edges.some(({ measures: own }) => own.trace?.callsPerSecond === plain.length - 1));
});

test('an answer of the server becomes a graph, whatever it lacks', () => {
  const graph = graphFromApi({
    window: { seconds: 10 },
    nodes: [{ id: 's/a', name: 'a', namespace: 's', kind: 'database', layers: ['trace', 'ipc'], inbound: { ipc: { calls: 20, errors: 5 } } }, { id: 'b', kind: 'new kind' }],
    edges: [{ id: '1', source: 's/a', target: 'b', evidence: { network: { connections: 3, failed_connections: 1, bytes_sent: 100, bytes_received: 20, rtt_ms: { mean: 0.4 } } } }, {}],
  });
  assert.deepEqual([graph.nodes[0].kind, graph.nodes[0].callsPerSecond, graph.nodes[0].errorRatio], ['database', 2, 0.25]);
  assert.deepEqual([graph.nodes[1].kind, graph.nodes[1].name, graph.nodes[1].callsPerSecond], ['unknown', 'b', null]);
  assert.deepEqual(graph.edges[0].measures.network, { callsPerSecond: null, errorRatio: 0.25, latencyMs: 0.4, bytesPerSecond: 12, connections: 3 });
  assert.deepEqual(graphFromApi(null), { nodes: [], edges: [] });
});

test('a removed edge shows what it had before', () => {
  const graph = graphFromDiff({
    before: { seconds: 10 },
    after: { seconds: 10 },
    nodes: [{ id: 'a', status: 'changed' }],
    edges: [{ id: '1', source: 'a', target: 'b', status: 'removed', before: { trace: { calls_per_second: 7, error_ratio: 0 } }, after: {}, changes: [] }],
  });
  assert.equal(headline(graph.edges[0])?.callsPerSecond, 7);
  assert.equal(graph.nodes[0].status, 'changed');
});

test('the table has the changed edges first, then the busiest', () => {
  const edges = [edge('a', 'b', { measures: { trace: measures(1) } }), edge('b', 'c', { measures: { trace: measures(9) } }), edge('c', 'd', { status: 'added' })];
  assert.deepEqual(tableRows({ nodes: [], edges }).map(({ cells }) => cells[0]), ['c', 'b', 'a']);
});

test('a doubt names what may be wrong: whether the edge is there, or which end calls', () => {
  const doubts = [{}, { confidence: 0.97 }, { confidence: 0.6, inferred: true }].map((more) => edge('a', 'b', more));
  assert.deepEqual(doubts.map(doubtOf), ['', 'direction guessed, confidence 0.97', 'inferred, confidence 0.6']);
  assert.deepEqual(doubts.map((one) => tipOfEdge(one).lines.filter(({ name }) => name === 'doubt').length), [0, 1, 1]);
});
