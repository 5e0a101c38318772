/** Put a scene on a canvas: one transform, then a few dozen paths. */

import { CURVE, curveEdge } from './curves.ts';
import type { Curves } from './curves.ts';
import { edgesOf } from './adjacency.ts';
import { arcsOf, nodeColour, addArrow, addLine } from './scene.ts';
import type { Scene, SceneOptions } from './scene.ts';
import { ICONS, OUTLINES } from './shapes.ts';
import { overlaps, shownBox } from './viewport.ts';
import type { Box, Size, Viewport } from './viewport.ts';

/** What of a scene stands out: a node or an edge, and what belongs to it. */
export interface Highlight {
  readonly nodes: ReadonlySet<number>;
  readonly edges: ReadonlySet<number>;
  /** Nodes with a ring: selected or under the pointer. */
  readonly ringed: readonly number[];
}

const SMALLEST_DOT = 3.2; // screen pixels
const ARROWS_FROM = 0.22; // scale below which arrow heads are specks
const ICONS_FROM = 0.4;

/** How much larger than they are nodes must be drawn to be seen; in doublings, so that few sets of paths are made. */
export function grownAt(scale: number): number {
  const needed = SMALLEST_DOT / (16 * scale);
  return needed <= 1 ? 1 : 2 ** Math.ceil(Math.log2(needed));
}

/** Begin a frame: clear, and set the transform. `margin` is how far the canvas reaches beyond the screen. */
export function begin(context: CanvasRenderingContext2D, view: Viewport, size: Size, ratio: number, margin: number): Box {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  const k = ratio * view.scale;
  context.setTransform(k, 0, 0, k, (view.x + margin) * ratio, (view.y + margin) * ratio);
  context.lineCap = 'round';
  context.lineJoin = 'round';
  return shownBox(view, size, margin);
}

/** Draw everything that the box shows. */
export function paintScene(
  context: CanvasRenderingContext2D,
  scene: Scene,
  view: Viewport,
  shown: Box,
  { theme }: SceneOptions,
): void {
  const pixel = 1 / view.scale;
  for (const batch of scene.edges) {
    if (!overlaps(batch.box, shown)) continue;
    const { style } = batch;
    context.globalAlpha = style.alpha;
    context.strokeStyle = context.fillStyle = style.colour;
    context.lineWidth = style.width * pixel * Math.min(1, 0.4 + view.scale);
    context.setLineDash(style.dash.map((length) => length * pixel));
    context.stroke(batch.lines);
    if (view.scale >= ARROWS_FROM) context.fill(batch.arrows());
  }
  context.setLineDash([]);
  context.globalAlpha = 1;
  context.fillStyle = theme.kinds.intermediary;
  if (view.scale >= ARROWS_FROM) context.fill(scene.beads);
  paintNodes(context, scene, view, shown, theme.background, theme.surface);
}

function paintNodes(
  context: CanvasRenderingContext2D,
  scene: Scene,
  view: Viewport,
  shown: Box,
  background: string,
  surface: string,
): void {
  const grown = grownAt(view.scale);
  for (const batch of scene.nodes(grown)) {
    if (!overlaps(batch.box, shown)) continue;
    // A rim of the background's colour sets a node apart from the edges behind it.
    context.strokeStyle = background;
    context.lineWidth = Math.min(4, 3 / view.scale);
    context.stroke(batch.shapes);
    context.fillStyle = batch.colour;
    context.fill(batch.shapes);
    context.strokeStyle = batch.colour;
    context.lineWidth = 1.5 * grown;
    context.stroke(batch.rings);
    if (view.scale < ICONS_FROM) continue;
    context.strokeStyle = surface;
    context.lineWidth = 1.6;
    context.stroke(batch.icons);
  }
  for (const { colour, arcs } of scene.arcs) strokeArcs(context, colour, arcs);
}

function strokeArcs(context: CanvasRenderingContext2D, colour: string, arcs: Path2D): void {
  Object.assign(context, { lineWidth: 3.5, lineCap: 'butt', strokeStyle: colour });
  context.stroke(arcs);
  context.lineCap = 'round';
}

/** Draw what stands out, over a scene that was dimmed: a few lines and nodes, each by itself. */
export function paintHighlight(
  context: CanvasRenderingContext2D,
  scene: Scene,
  view: Viewport,
  highlight: Highlight,
  options: SceneOptions,
): void {
  const pixel = 1 / view.scale;
  for (const edgeLine of scene.edgeLines) {
    if (!highlight.edges.has(edgeLine.edge)) continue;
    const [line, arrow] = [new Path2D(), new Path2D()];
    addLine(line, scene.curves, edgeLine);
    addArrow(arrow, scene.curves, edgeLine, Math.max(1, 0.5 * pixel));
    context.strokeStyle = context.fillStyle = edgeLine.style.colour;
    context.lineWidth = (edgeLine.style.width + 0.6) * pixel;
    context.setLineDash(edgeLine.style.dash.map((length) => length * pixel));
    context.stroke(line);
    context.setLineDash([]);
    context.fill(arrow);
  }
  const grown = grownAt(view.scale);
  for (const at of highlight.nodes) paintNode(context, scene, at, grown, view.scale, options);
  for (const { colour, arcs } of arcsOf(scene.graph, scene, options.theme, highlight.nodes)) strokeArcs(context, colour, arcs);
  for (const at of highlight.ringed) {
    const ring = new Path2D();
    ring.arc(scene.x[at], scene.y[at], (scene.radius[at] + 7) * grown, 0, Math.PI * 2);
    context.strokeStyle = options.theme.accent;
    context.lineWidth = 2.5 * pixel;
    context.stroke(ring);
  }
}

function paintNode(
  context: CanvasRenderingContext2D,
  scene: Scene,
  at: number,
  grown: number,
  scale: number,
  options: SceneOptions,
): void {
  const node = scene.graph.nodes[at];
  const [shape, icon] = [new Path2D(), new Path2D()];
  OUTLINES[node.kind](shape, scene.x[at], scene.y[at], scene.radius[at] * grown);
  ICONS[node.kind](icon, scene.x[at], scene.y[at], scene.radius[at] * grown);
  context.strokeStyle = options.theme.background;
  context.lineWidth = 3 / scale;
  context.stroke(shape);
  context.fillStyle = nodeColour(node, options);
  context.fill(shape);
  if (scale < ICONS_FROM) return;
  context.strokeStyle = options.theme.surface;
  context.lineWidth = 1.6;
  context.stroke(icon);
}

/** Move one node, and the curves of its edges with it. The scene's paths stay as they were until it is made again. */
export function moveNode(scene: Scene, node: number, x: number, y: number): void {
  scene.x[node] = x;
  scene.y[node] = y;
  const { source, target } = scene.adjacency;
  const curves: Curves = scene.curves;
  for (const edge of edgesOf(scene.adjacency, node)) {
    if (edge * CURVE < curves.length) curveEdge(curves, edge, source[edge], target[edge], scene.lanes[edge], scene);
  }
}
