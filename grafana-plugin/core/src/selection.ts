/** What of a graph is meant: a node or an edge, as numbers inside of a view, and by themselves outside of it. Pure. */

import { nearestEdge } from './curves.ts';
import type { Graph, GraphEdge, GraphNode } from './graph.ts';
import { grownAt } from './paint.ts';
import type { Scene } from './scene.ts';
import type { Viewport } from './viewport.ts';

export type Selection =
  | { readonly node: GraphNode; readonly edge?: undefined }
  | { readonly edge: GraphEdge; readonly node?: undefined }
  | null;

/** The number of a node, or of an edge; -1: none. Not both. */
export interface Target {
  readonly node: number;
  readonly edge: number;
}

export const NOTHING: Target = { node: -1, edge: -1 };
const REACH = 6; // pixels beside a node or an edge that still mean it

export function isThere({ node, edge }: Target): boolean {
  return node >= 0 || edge >= 0;
}

export function selectionOf(graph: Graph, { node, edge }: Target): Selection {
  if (node >= 0) return { node: graph.nodes[node] };
  return edge >= 0 ? { edge: graph.edges[edge] } : null;
}

/** Find a node by its id, else an edge. */
export function targetOf(scene: Scene, id: string | undefined): Target {
  if (id === undefined) return NOTHING;
  const node = scene.adjacency.index.get(id) ?? -1;
  return { node, edge: node >= 0 ? -1 : scene.graph.edges.findIndex((edge) => edge.id === id) };
}

/** What is at a point of the screen: nodes before edges. */
export function targetAt(scene: Scene, view: Viewport, x: number, y: number): Target {
  const node = nodeAt(scene, view, x, y);
  if (node >= 0 || !Number.isFinite(x)) return { node, edge: -1 };
  const { scale } = view;
  return { node: -1, edge: nearestEdge(scene.curves, (x - view.x) / scale, (y - view.y) / scale, REACH / scale) };
}

export function nodeAt(scene: Scene, view: Viewport, x: number, y: number): number {
  let [best, least] = [-1, Infinity];
  scene.x.forEach((_, at) => {
    const place = onScreen(scene, view, at);
    const far = Math.hypot(x - place.x, y - place.y) - radiusOnScreen(scene, view, at);
    if (far < Math.min(least, REACH)) [best, least] = [at, far];
  });
  return best;
}

/** Where a node is, in pixels from the view's corner. */
export function onScreen(scene: Scene, view: Viewport, at: number): { x: number; y: number } {
  return { x: scene.x[at] * view.scale + view.x, y: scene.y[at] * view.scale + view.y };
}

export function radiusOnScreen(scene: Scene, view: Viewport, at: number): number {
  return scene.radius[at] * view.scale * grownAt(view.scale);
}
