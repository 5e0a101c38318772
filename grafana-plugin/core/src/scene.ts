/**
 * A graph at its places, made ready to draw: sizes, curves, and a few paths of many lines each.
 *
 * Invariant: a scene is made when the graph, its places or its looks change, never for a frame. Panning and zooming only
 * change the transform under which the same paths are drawn.
 */

import { adjacencyOf, edgesOf } from './adjacency.ts';
import type { Adjacency } from './adjacency.ts';
import { bendAround, MOST_BENT } from './bending.ts';
import { CURVE, curveEdge, lanes, pointAt } from './curves.ts';
import type { Curves } from './curves.ts';
import type { Graph, GraphNode } from './graph.ts';
import { arrowHead, ICONS, OUTLINES } from './shapes.ts';
import { ERROR_STEPS, stepOf, edgeLinesOf } from './style.ts';
import type { ColourBy, EdgeLine, Style } from './style.ts';
import type { Theme } from './theme.ts';
import type { Box } from './viewport.ts';

/** Where nodes are, by id, in world units: a node is 28 to 48 wide, a label about 150 by 20. */
export type Positions = ReadonlyMap<string, readonly [number, number]>;

export interface EdgeBatch {
  readonly style: Style;
  readonly lines: Path2D;
  /** Made when they are first drawn: from afar they are not. */
  arrows(): Path2D;
  readonly box: Box;
}

export interface NodeBatch {
  readonly colour: string;
  readonly shapes: Path2D;
  readonly icons: Path2D;
  readonly rings: Path2D;
  readonly box: Box;
}

export interface ArcBatch {
  readonly colour: string;
  readonly arcs: Path2D;
}

export interface Scene {
  readonly graph: Graph;
  readonly adjacency: Adjacency;
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly radius: Float32Array;
  readonly lanes: Float32Array;
  readonly curves: Curves;
  readonly edgeLines: readonly EdgeLine[];
  readonly edges: readonly EdgeBatch[];
  readonly beads: Path2D;
  readonly arcs: readonly ArcBatch[];
  /** Nodes of one kind and look, drawn `grown` times as large as they are: dots that can still be seen from afar. */
  nodes(grown: number): readonly NodeBatch[];
  /** Nodes by how much they matter: the most connected and busiest first. */
  readonly importance: Int32Array;
  readonly callers: Int32Array;
  readonly callees: Int32Array;
}

export interface SceneOptions {
  readonly colourBy: ColourBy;
  readonly theme: Theme;
  readonly showVia: boolean;
}

const TILE = 900; // world units; what is in one tile is drawn or skipped together
const MOST_IN_BATCH = 400;

/** Make a scene. A node without a place goes to (0, 0): callers give all, or let a layout find them. */
export function sceneOf(graph: Graph, positions: Positions, options: SceneOptions): Scene {
  const adjacency = adjacencyOf(graph);
  const x = Float64Array.from(graph.nodes, (node) => positions.get(node.id)?.[0] ?? 0);
  const y = Float64Array.from(graph.nodes, (node) => positions.get(node.id)?.[1] ?? 0);
  const { callers, callees } = degrees(adjacency);
  const radius = Float32Array.from(graph.nodes, (node, at) => radiusOf(node, callers[at] + callees[at]));
  const lane = lanes(adjacency);
  const curves = new Float32Array(graph.edges.length * CURVE);
  const places = { x, y, radius };
  for (let at = 0; at < graph.edges.length; at++) {
    curveEdge(curves, at, adjacency.source[at], adjacency.target[at], lane[at], places);
  }
  if (graph.edges.length <= MOST_BENT) bendAround(curves, adjacency, places);
  const edgeLines = edgeLinesOf(graph, options.colourBy, options.theme);
  const grownNodes = new Map<number, NodeBatch[]>();
  return {
    graph,
    adjacency,
    ...places,
    lanes: lane,
    curves,
    edgeLines,
    edges: edgeBatches(edgeLines, curves),
    beads: options.showVia ? beadsOf(graph, curves) : new Path2D(),
    arcs: arcsOf(graph, places, options.theme),
    importance: importanceOf(graph, callers, callees),
    callers,
    callees,
    nodes(grown) {
      const made = grownNodes.get(grown) ?? nodeBatches(graph, places, options, grown);
      grownNodes.set(grown, made);
      return made;
    },
  };
}

/** Add one edge's line to a path. */
export function addLine(path: Path2D, curves: Curves, edgeLine: EdgeLine): void {
  const [b, [offX, offY]] = [edgeLine.edge * CURVE, offset(curves, edgeLine)];
  path.moveTo(curves[b] + offX, curves[b + 1] + offY);
  path.bezierCurveTo(
    curves[b + 2] + offX,
    curves[b + 3] + offY,
    curves[b + 4] + offX,
    curves[b + 5] + offY,
    curves[b + 6] + offX,
    curves[b + 7] + offY,
  );
}

/** Add one edge's arrow head to a path. */
export function addArrow(path: Path2D, curves: Curves, edgeLine: EdgeLine, grown = 1): void {
  const [b, [offX, offY]] = [edgeLine.edge * CURVE, offset(curves, edgeLine)];
  const [endX, endY] = [curves[b + 6], curves[b + 7]];
  const [fromX, fromY] = pointAt(curves, edgeLine.edge, 0.93);
  arrowHead(path, endX + offX, endY + offY, endX - fromX, endY - fromY, (7.5 + edgeLine.style.width * 1.1) * grown);
}

/** The nodes at the other ends of a node's edges. */
export function neighboursOf(scene: Scene, node: number): Set<number> {
  const { source, target } = scene.adjacency;
  const found = new Set<number>();
  for (const edge of edgesOf(scene.adjacency, node)) found.add(source[edge] === node ? target[edge] : source[edge]);
  found.delete(-1);
  found.delete(node);
  return found;
}

function offset(curves: Curves, edgeLine: EdgeLine): [number, number] {
  if (!edgeLine.shift) return [0, 0];
  const b = edgeLine.edge * CURVE;
  const [dx, dy] = [curves[b + 6] - curves[b], curves[b + 7] - curves[b + 1]];
  const length = Math.hypot(dx, dy) || 1;
  return [(-dy / length) * edgeLine.shift, (dx / length) * edgeLine.shift];
}

function degrees({ source, target, offsets }: Adjacency): { callers: Int32Array; callees: Int32Array } {
  const nodes = offsets.length - 1;
  const [callers, callees] = [new Int32Array(nodes), new Int32Array(nodes)];
  const seen = new Set<number>();
  for (let at = 0; at < source.length; at++) {
    const [s, t] = [source[at], target[at]];
    if (s < 0 || t < 0 || seen.has(s * nodes + t)) continue;
    seen.add(s * nodes + t);
    callees[s]++;
    callers[t]++;
  }
  return { callers, callees };
}

function radiusOf(node: GraphNode, degree: number): number {
  return Math.min(24, 13 + Math.log2(1 + degree) * 1.3 + Math.log2(node.members ?? 1));
}

function importanceOf(graph: Graph, callers: Int32Array, callees: Int32Array): Int32Array {
  const worth = Float64Array.from(graph.nodes, (node, at) => {
    const told = node.status && node.status !== 'unchanged' ? 4 : 0;
    return Math.log2(1 + callers[at] + callees[at]) * 2 + Math.log10(1 + (node.callsPerSecond ?? 0)) + told;
  });
  return Int32Array.from(graph.nodes.keys()).sort((a, b) => worth[b] - worth[a] || a - b);
}

function edgeBatches(edgeLines: readonly EdgeLine[], curves: Curves): EdgeBatch[] {
  const groups = new Map<Style, Map<string, EdgeLine[]>>();
  for (const edgeLine of edgeLines) {
    const [midX, midY] = pointAt(curves, edgeLine.edge, 0.5);
    if (Number.isNaN(midX)) continue;
    const tiles = groups.get(edgeLine.style) ?? new Map<string, EdgeLine[]>();
    groups.set(edgeLine.style, tiles);
    const tile = `${Math.floor(midX / TILE)} ${Math.floor(midY / TILE)}`;
    const own = tiles.get(tile);
    if (own) own.push(edgeLine);
    else tiles.set(tile, [edgeLine]);
  }
  const batches = [...groups].flatMap(([style, tiles]) =>
    [...joinSmall(tiles.values())].map((own) => edgeBatch(style, own, curves)),
  );
  return batches.sort((a, b) => a.style.rank - b.style.rank);
}

/** Join lists one after the other while they stay small: neither thousands of paths, nor one that is always drawn. */
function* joinSmall(lists: Iterable<EdgeLine[]>): Generator<EdgeLine[]> {
  let pending: EdgeLine[] = [];
  for (const list of lists) {
    if (pending.length && pending.length + list.length > MOST_IN_BATCH) {
      yield pending;
      pending = [];
    }
    pending = pending.concat(list);
  }
  if (pending.length) yield pending;
}

function edgeBatch(style: Style, edgeLines: readonly EdgeLine[], curves: Curves): EdgeBatch {
  const lines = new Path2D();
  let made: Path2D | undefined;
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const edgeLine of edgeLines) {
    addLine(lines, curves, edgeLine);
    for (let b = edgeLine.edge * CURVE; b < edgeLine.edge * CURVE + CURVE; b += 2) {
      left = Math.min(left, curves[b]);
      right = Math.max(right, curves[b]);
      top = Math.min(top, curves[b + 1]);
      bottom = Math.max(bottom, curves[b + 1]);
    }
  }
  const arrows = (): Path2D => {
    if (made) return made;
    made = new Path2D();
    for (const edgeLine of edgeLines) addArrow(made, curves, edgeLine);
    return made;
  };
  return { style, lines, arrows, box: { left, top, right, bottom } };
}

interface Places {
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly radius: Float32Array;
}

function nodeBatches(graph: Graph, places: Places, options: SceneOptions, grown: number): NodeBatch[] {
  const groups = new Map<string, number[]>();
  graph.nodes.forEach((node, at) => {
    const tile = `${Math.floor(places.x[at] / TILE)} ${Math.floor(places.y[at] / TILE)}`;
    const colour = nodeColour(node, options);
    const key = `${colour}|${graph.nodes.length > MOST_IN_BATCH ? tile : ''}`;
    const own = groups.get(key);
    if (own) own.push(at);
    else groups.set(key, [at]);
  });
  return [...groups].map(([key, own]) => nodeBatch(graph, own, places, key.split('|')[0], grown));
}

/** The colour of a node: of its kind, or with `status` of what became of it. */
export function nodeColour(node: GraphNode, { colourBy, theme }: Pick<SceneOptions, 'colourBy' | 'theme'>): string {
  return colourBy === 'status' && node.status ? theme.status[node.status] : theme.kinds[node.kind];
}

function nodeBatch(graph: Graph, own: readonly number[], places: Places, colour: string, grown: number): NodeBatch {
  const [shapes, icons, rings] = [new Path2D(), new Path2D(), new Path2D()];
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const at of own) {
    const [x, y, r] = [places.x[at], places.y[at], places.radius[at] * grown];
    const node = graph.nodes[at];
    OUTLINES[node.kind](shapes, x, y, r);
    ICONS[node.kind](icons, x, y, r);
    if (node.members !== undefined) OUTLINES[node.kind](rings, x, y, r + 4 * grown);
    left = Math.min(left, x - r * 1.4);
    right = Math.max(right, x + r * 1.4);
    top = Math.min(top, y - r * 1.4);
    bottom = Math.max(bottom, y + r * 1.4);
  }
  return { colour, shapes, icons, rings, box: { left, top, right, bottom } };
}

/** Around each node with errors, a part of a ring: as long as the share of its calls that failed. */
export function arcsOf(graph: Graph, places: Places, theme: Theme, only?: ReadonlySet<number>): ArcBatch[] {
  const { x, y, radius } = places;
  const paths = new Map<string, Path2D>();
  graph.nodes.forEach((node, at) => {
    const step = stepOf(node.errorRatio ?? 0, ERROR_STEPS);
    if (step === 0 || (only && !only.has(at))) return;
    const path = paths.get(theme.errors[step]) ?? new Path2D();
    paths.set(theme.errors[step], path);
    const share = Math.max(0.06, Math.min(1, node.errorRatio ?? 0));
    const r = radius[at] + (node.members === undefined ? 5 : 8);
    path.moveTo(x[at], y[at] - r);
    path.arc(x[at], y[at], r, -Math.PI / 2, -Math.PI / 2 + share * Math.PI * 2);
  });
  return [...paths].map(([colour, arcs]) => ({ colour, arcs }));
}

/** A diamond in the middle of each edge that passes an intermediary. */
function beadsOf(graph: Graph, curves: Curves): Path2D {
  const path = new Path2D();
  graph.edges.forEach((edge, at) => {
    if (!edge.via.length) return;
    const [x, y] = pointAt(curves, at, 0.5);
    if (Number.isNaN(x)) return;
    path.moveTo(x, y - 6);
    path.lineTo(x + 6, y);
    path.lineTo(x, y + 6);
    path.lineTo(x - 6, y);
    path.closePath();
  });
  return path;
}
