/**
 * Which names can be read at once: placed in the order of their importance, each where it covers neither another label
 * nor a node. What does not fit is left out, and appears when one zooms in. Pure; in screen pixels.
 */

import { pointAt } from './curves.ts';
import { edgeLabel } from './format.ts';
import type { EdgeLabel } from './format.ts';
import { grownAt } from './paint.ts';
import type { Scene } from './scene.ts';
import { shownBox } from './viewport.ts';
import type { Box, Size, Viewport } from './viewport.ts';

export interface Label {
  /** Node number, or edge number of an edge's label. */
  readonly at: number;
  readonly of: 'node' | 'edge';
  readonly text: string;
  /** The label's middle. */
  readonly x: number;
  readonly y: number;
}

export interface LabelOptions {
  readonly edgeLabel: EdgeLabel;
  /** Only these nodes have labels, and these edges; all when absent. */
  readonly only?: { readonly nodes: ReadonlySet<number>; readonly edges: ReadonlySet<number> };
  /** Width of a text in pixels. */
  readonly measure: (text: string) => number;
  readonly most: number;
  /** A corner at the bottom left that something else covers. */
  readonly corner?: Size;
}

export const LABEL_HEIGHT = 17;
const LONGEST = 190;
const CELL = 64;
const EDGE_LABELS_FROM = 0.45;
const OBSTACLES = 1500;

/** Return the labels that fit, nodes first. */
export function placeLabels(scene: Scene, view: Viewport, size: Size, options: LabelOptions): Label[] {
  const taken = new Taken();
  const world = shownBox(view, size);
  const screen: Box = { left: 0, top: 0, right: size.width, bottom: size.height };
  const nodes = [...scene.importance].filter(
    (at) => inside(world, scene.x[at], scene.y[at]) && (!options.only || options.only.nodes.has(at)),
  );
  if (options.corner) taken.add({ left: 0, top: size.height - options.corner.height, right: options.corner.width, bottom: size.height });
  const grown = grownAt(view.scale);
  for (const at of nodes.slice(0, OBSTACLES)) taken.add(nodeBox(scene, at, view, grown));
  const labels: Label[] = [];
  for (const at of nodes) {
    if (labels.length >= options.most) break;
    const label = nodeLabel(scene, at, view, grown, taken, screen, options.measure);
    if (label) labels.push(label);
  }
  return view.scale < EDGE_LABELS_FROM && !options.only ? labels : [...labels, ...edgeLabels(scene, view, screen, taken, options)];
}

/** Cut a text so that it fits a width; a name's end often tells more than its middle, so the middle is left out. */
export function shorten(text: string, most: number, measure: (text: string) => number): string {
  const width = measure(text);
  if (width <= most) return text;
  const keep = Math.max(2, Math.floor((text.length * most) / width) - 1);
  return `${text.slice(0, Math.ceil(keep * 0.6))}…${text.slice(text.length - Math.floor(keep * 0.4))}`;
}

function nodeLabel(
  scene: Scene,
  at: number,
  view: Viewport,
  grown: number,
  taken: Taken,
  screen: Box,
  measure: (text: string) => number,
): Label | null {
  const text = shorten(scene.graph.nodes[at].name, LONGEST, measure);
  const wide = measure(text) / 2 + 4;
  const x = scene.x[at] * view.scale + view.x;
  const y = scene.y[at] * view.scale + view.y;
  const r = scene.radius[at] * grown * view.scale;
  const away = r * 1.15 + LABEL_HEIGHT / 2 + 2;
  const places = [[x, y + away], [x, y - away], [x + r * 1.2 + wide, y], [x - r * 1.2 - wide, y]];
  for (const [midX, midY] of places) {
    const box = boxAround(midX, midY, wide);
    if (box.left < screen.left || box.right > screen.right || !taken.free(box)) continue;
    taken.add(box);
    return { at, of: 'node', text, x: midX, y: midY };
  }
  return null;
}

function edgeLabels(scene: Scene, view: Viewport, screen: Box, taken: Taken, options: LabelOptions): Label[] {
  const labels: Label[] = [];
  if (options.edgeLabel === 'none') return labels;
  for (let at = 0; at < scene.graph.edges.length && labels.length < options.most; at++) {
    if (options.only && !options.only.edges.has(at)) continue;
    const text = edgeLabel(scene.graph.edges[at], options.edgeLabel);
    if (!text) continue;
    for (const t of [0.5, 0.38, 0.62, 0.28, 0.72]) {
      const [worldX, worldY] = pointAt(scene.curves, at, t);
      const [x, y] = [worldX * view.scale + view.x, worldY * view.scale + view.y];
      const box = boxAround(x, y, options.measure(text) / 2 + 5);
      if (!inside(screen, x, y) || !taken.free(box)) continue;
      taken.add(box);
      labels.push({ at, of: 'edge', text, x, y });
      break;
    }
  }
  return labels;
}

function inside(box: Box, x: number, y: number): boolean {
  return x >= box.left && x <= box.right && y >= box.top && y <= box.bottom;
}

function boxAround(x: number, y: number, wide: number): Box {
  const high = LABEL_HEIGHT / 2;
  return { left: x - wide, right: x + wide, top: y - high, bottom: y + high };
}

function nodeBox(scene: Scene, at: number, view: Viewport, grown: number): Box {
  const x = scene.x[at] * view.scale + view.x;
  const y = scene.y[at] * view.scale + view.y;
  const r = scene.radius[at] * grown * view.scale;
  return { left: x - r, right: x + r, top: y - r, bottom: y + r };
}

/** Boxes that are taken, found by the cells they touch. */
class Taken {
  readonly #cells = new Map<number, Box[]>();

  add(box: Box): void {
    for (const cell of cellsOf(box)) {
      const own = this.#cells.get(cell);
      if (own) own.push(box);
      else this.#cells.set(cell, [box]);
    }
  }

  free(box: Box): boolean {
    return cellsOf(box).every((cell) => {
      const own = this.#cells.get(cell) ?? [];
      return own.every((o) => o.left >= box.right || box.left >= o.right || o.top >= box.bottom || box.top >= o.bottom);
    });
  }
}

function cellsOf(box: Box): number[] {
  const cells: number[] = [];
  for (let row = Math.floor(box.top / CELL); row <= Math.floor(box.bottom / CELL); row++) {
    for (let column = Math.floor(box.left / CELL); column <= Math.floor(box.right / CELL); column++) {
      cells.push(row * 65_536 + column);
    }
  }
  return cells;
}
