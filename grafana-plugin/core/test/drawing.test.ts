import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adjacencyOf, DARK, drawCloser, edgeLabel, edgeLegend, forceLayout, formatBytes, formatRate, formatShare, LIGHT, placeMissing, edgeLinesOf } from '../src/index.ts';
import { CURVE, curveEdge, lanes, nearestEdge, pointAt } from '../src/curves.ts';
import { shorten } from '../src/labels.ts';
import { boxOf, fitBox, zoomAt } from '../src/viewport.ts';
import { edge, graphOf, measures, node } from './building.ts';

function curvesOf(arrows: string[], x: number[], y: number[]): Float32Array {
  const adjacency = adjacencyOf(graphOf(...arrows));
  const lane = lanes(adjacency);
  const curves = new Float32Array(arrows.length * CURVE);
  const places = { x, y, radius: x.map(() => 14) };
  arrows.forEach((_, at) => curveEdge(curves, at, adjacency.source[at], adjacency.target[at], lane[at], places));
  return curves;
}

test('there and back are two curves, wherever the nodes are', () => {
  for (const [x, y] of [[300, 0], [0, 300], [-300, 5], [40, 10], [0, 0]]) {
    const curves = curvesOf(['a>b', 'b>a'], [0, x], [0, y]);
    assert.ok(curves.every(Number.isFinite), `${x} ${y}`);
    const [there, back] = [pointAt(curves, 0, 0.5), pointAt(curves, 1, 0.5)];
    assert.ok(x === 0 && y === 0 ? true : Math.hypot(there[0] - back[0], there[1] - back[1]) > 4, `${x} ${y}`);
  }
});

test('edges over two protocols between the same nodes do not cover each other', () => {
  const curves = curvesOf(['a>b', 'a>b'], [0, 300], [0, 40]);
  const [one, other] = [pointAt(curves, 0, 0.5), pointAt(curves, 1, 0.5)];
  assert.ok(Math.hypot(one[0] - other[0], one[1] - other[1]) > 5);
});

test('the pointer finds the edge it is on, and none in the void', () => {
  const curves = curvesOf(['a>b', 'b>c'], [0, 300, 600], [0, 50, 0]);
  for (const at of [0, 1]) assert.equal(nearestEdge(curves, ...pointAt(curves, at, 0.4), 5), at);
  assert.equal(nearestEdge(curves, 150, -400, 5), -1);
});

test('zooming keeps the point under the pointer', () => {
  const view = zoomAt({ scale: 0.7, x: 30, y: -20 }, 200, 100, 1.8);
  assert.ok(Math.abs((200 - 30) / 0.7 - (200 - view.x) / view.scale) < 1e-9);
  assert.equal(zoomAt({ scale: 1, x: 0, y: 0 }, 0, 0, 1e9).scale, 4);
});

test('a fitted box is wholly in what is free', () => {
  const box = boxOf([0, 4000], [0, 300], [0, 1], 20);
  assert.ok(box);
  const view = fitBox(box, { width: 1000, height: 600 }, { left: 50, right: 300, top: 10, bottom: 90 });
  assert.ok(box.left * view.scale + view.x >= 49.99 && box.right * view.scale + view.x <= 700.01);
  assert.ok(box.top * view.scale + view.y >= 9.99 && box.bottom * view.scale + view.y <= 510.01);
  assert.equal(boxOf([], [], [], 5), null);
});

test('a node without a place goes beside its caller, on nobody, and moves nobody', () => {
  const graph = graphOf('a>b', 'a>c', 'a>d', 'z>a');
  const known = new Map([['a', [0, 0]], ['b', [190, 0]]] as const);
  const placed = placeMissing(graph, known);
  assert.deepEqual([placed.get('a'), placed.get('b')], [[0, 0], [190, 0]]);
  assert.equal(new Set([...placed.values()].map(String)).size, 5);
  assert.ok((placed.get('c')?.[0] ?? 0) > 0 && (placed.get('z')?.[0] ?? 0) < 0);
});

test('the layout in the browser puts callers left of callees, keeps what is known, and repeats itself', () => {
  const nodes = ['a', 'b', 'c', 'd'];
  const edges = [[0, 1], [1, 2], [1, 3]] as const;
  const free = forceLayout({ nodes, edges, known: [] });
  const at = (id: string): number => free.get(id)?.[0] ?? NaN;
  assert.ok(at('a') < at('b') && at('b') < at('c') && at('b') < at('d'));
  assert.deepEqual(forceLayout({ nodes, edges, known: [] }), free);
  assert.deepEqual(forceLayout({ nodes, edges, known: [['b', 5, 6]] }).get('b'), [5, 6]);
});

test('wider means more calls; few styles draw many edges', () => {
  const edges = Array.from({ length: 500 }, (_, at) => edge('a', `b${at}`, { measures: { trace: measures(1.02 ** at) } }));
  const edgeLines = edgeLinesOf({ nodes: [node('a')], edges }, 'errors', LIGHT);
  assert.ok(edgeLines[499].style.width > edgeLines[0].style.width);
  assert.ok(new Set(edgeLines.map(({ style }) => style)).size <= 5);
});

test('inferred edges are dashed, removed ones too, and each layer has its line', () => {
  const edges = [edge('a', 'b', { inferred: true }), edge('b', 'c', { status: 'removed', before: { trace: measures(1) } }), edge('c', 'd', { layers: ['network', 'trace'] })];
  const graph = { nodes: [], edges };
  assert.ok(edgeLinesOf(graph, 'rate', LIGHT)[0].style.dash.length > 0);
  assert.ok(edgeLinesOf(graph, 'status', LIGHT)[1].style.dash.length > 0);
  const layered = edgeLinesOf(graph, 'layers', DARK).filter(({ edge: at }) => at === 2);
  assert.deepEqual(layered.map(({ style }) => style.colour), [DARK.layers.network, DARK.layers.trace]);
  assert.notEqual(layered[0].shift, layered[1].shift);
  assert.deepEqual(edgeLegend('layers', DARK, ['ipc']).map(({ label }) => label), ['ipc']);
});

/** Relative luminance and contrast as WCAG 2.2 defines them. */
function contrast(a: string, b: string): number {
  const light = (colour: string): number => {
    const [r, g, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * blue;
  };
  const [high, low] = [light(a), light(b)].sort((p, q) => q - p);
  return (high + 0.05) / (low + 0.05);
}

test('text has a contrast of 4.5, what must be told apart of 3', () => {
  for (const theme of [LIGHT, DARK]) {
    for (const ground of [theme.background, theme.surface]) {
      for (const text of [theme.text, theme.muted]) assert.ok(contrast(text, ground) >= 4.5, `${text} on ${ground}`);
    }
    const { added, removed, changed } = theme.status;
    for (const colour of [...Object.values(theme.kinds), ...Object.values(theme.layers), added, removed, changed, ...theme.errors.slice(2), ...theme.latency]) {
      assert.ok(contrast(colour, theme.background) >= 3, `${colour} on ${theme.background}`);
    }
  }
});

test('numbers read like numbers', () => {
  assert.deepEqual([12345, 0.5, 0.01, 0, null].map(formatRate), ['12.3k/s', '0.5/s', '0.6/min', '0/s', '']);
  assert.deepEqual([1536, 0, 1048576].map(formatBytes), ['1.5 KiB/s', '0 B/s', '1 MiB/s']);
  assert.equal(formatShare(0.0123), '1.23 %');
  assert.equal(edgeLabel(edge('a', 'b', { measures: { trace: measures(2, { errorRatio: 0.5, latencyMs: 1500 }) } }), 'latency'), '1.5 s');
  assert.equal(edgeLabel(edge('a', 'b', { measures: {} }), 'rate'), '');
});

test('a name that is too long keeps its begin and its end', () => {
  const short = shorten('recommendation-service-production-eu', 100, (text) => text.length * 7);
  assert.ok(short.startsWith('recom') && short.endsWith('eu') && short.length * 7 <= 100);
});

test('a far-flung part is drawn closer: its order stays, and nobody covers another', () => {
  let seed = 7;
  const random = (): number => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
  for (let round = 0; round < 50; round++) {
    const ids = Array.from({ length: 2 + Math.floor(random() * 30) }, (_, at) => `n${at}`);
    const far = new Map(ids.map((id) => [id, [Math.floor(random() * 60) * 190, Math.floor(random() * 60) * 76 + random()] as const]));
    const near = drawCloser(ids, far);
    if (!near) continue;
    assert.deepEqual([...near.keys()].sort(), [...ids].sort());
    assert.equal(new Set([...near.values()].map(([x, y]) => `${x} ${y}`)).size, ids.length);
    for (const one of ids) {
      for (const other of ids) {
        const [was, wasOther, is, isOther]: (readonly [number, number])[] = [far.get(one)!, far.get(other)!, near.get(one)!, near.get(other)!];
        if (was[0] < wasOther[0]) assert.ok(is[0] <= isOther[0]);
        if (was[0] === wasOther[0] && was[1] < wasOther[1]) assert.ok(is[1] < isOther[1]);
      }
    }
    const wide = Math.max(...[...near.values()].map(([x]) => x));
    assert.ok(wide <= 7 * 190, `${wide} for ${ids.length}`);
  }
});

test('services that are near each other stay where they are', () => {
  assert.equal(drawCloser(['a', 'b', 'c'], new Map([['a', [0, 0]], ['b', [190, 76]], ['c', [380, -76]]])), null);
  assert.equal(drawCloser(['new'], new Map()), null);
});
