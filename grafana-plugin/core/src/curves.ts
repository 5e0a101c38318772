/**
 * Where edges run: one cubic Bézier curve each, from the rim of the caller to the rim of the callee.
 *
 * Invariant: curves of different edges between the same two nodes differ, also of A → B and B → A.
 */

import type { Adjacency } from './adjacency.ts';

/** Eight numbers an edge: start, two control points, end. NaN for an edge whose end is no node. */
export type Curves = Float32Array;

export const CURVE = 8;
const RIM = 3; // world units between the end of an arrow and its node
const STEPS = 14;

export interface Places {
  readonly x: ArrayLike<number>;
  readonly y: ArrayLike<number>;
  readonly radius: ArrayLike<number>;
}

/** How far each edge runs beside the straight line: edges over several protocols between two nodes spread out. */
export function lanes(adjacency: Adjacency): Float32Array {
  const { source, target } = adjacency;
  const counts = new Map<number, number>();
  const nodes = adjacency.offsets.length;
  const key = (at: number): number => source[at] * nodes + target[at];
  const own = Int32Array.from(source, (_, at) => {
    const seen = counts.get(key(at)) ?? 0;
    counts.set(key(at), seen + 1);
    return seen;
  });
  return Float32Array.from(source, (_, at) => (own[at] - ((counts.get(key(at)) ?? 1) - 1) / 2) * 14);
}

/** Write the curve of one edge at its place in `into`. */
export function curveEdge(into: Curves, at: number, s: number, t: number, lane: number, places: Places): void {
  const { x, y, radius } = places;
  const base = at * CURVE;
  if (s < 0 || t < 0) {
    into.fill(NaN, base, base + CURVE);
    return;
  }
  const dx = x[t] - x[s];
  const dy = y[t] - y[s];
  if (s === t) loop(into, base, x[s], y[s], radius[s]);
  else if (dx > radius[s] + radius[t] + 24) flow(into, base, s, t, lane, places);
  else bow(into, base, s, t, lane || 1, dx, dy, places);
}

/** From left to right: leaves and arrives level, so that edges read as a flow. */
function flow(into: Curves, base: number, s: number, t: number, lane: number, { x, y, radius }: Places): void {
  const startX = x[s] + radius[s];
  const endX = x[t] - radius[t] - RIM;
  const reach = Math.max(14, Math.min((endX - startX) * 0.5, 150));
  const spread = Math.max(-9, Math.min(9, lane * 0.4));
  into[base] = startX;
  into[base + 1] = y[s] + spread;
  into[base + 2] = startX + reach;
  into[base + 3] = y[s] + lane * 1.6;
  into[base + 4] = endX - reach;
  into[base + 5] = y[t] + lane * 1.6;
  into[base + 6] = endX;
  into[base + 7] = y[t] + spread;
}

/** Back, up or down: a bow to the left of its direction, so that the edge that answers bows to the other side. */
function bow(
  into: Curves,
  base: number,
  s: number,
  t: number,
  lane: number,
  dx: number,
  dy: number,
  { x, y, radius }: Places,
): void {
  const length = Math.hypot(dx, dy) || 1;
  const side = (Math.min(length * 0.22, 90) + Math.abs(lane)) * (lane < 0 ? -1 : 1);
  const offX = (dy / length) * side;
  const offY = (-dx / length) * side;
  const points = [x[s] + dx * 0.25 + offX, y[s] + dy * 0.25 + offY, x[s] + dx * 0.75 + offX, y[s] + dy * 0.75 + offY];
  const out = Math.hypot(points[0] - x[s], points[1] - y[s]) || 1;
  const home = Math.hypot(points[2] - x[t], points[3] - y[t]) || 1;
  const arrive = radius[t] + RIM;
  into[base] = x[s] + ((points[0] - x[s]) / out) * radius[s];
  into[base + 1] = y[s] + ((points[1] - y[s]) / out) * radius[s];
  into.set(points, base + 2);
  into[base + 6] = x[t] + ((points[2] - x[t]) / home) * arrive;
  into[base + 7] = y[t] + ((points[3] - y[t]) / home) * arrive;
}

function loop(into: Curves, base: number, x: number, y: number, radius: number): void {
  const r = radius;
  into.set([x - r * 0.6, y - r * 0.8, x - r * 2.2, y - r * 3, x + r * 2.2, y - r * 3, x + r * 0.6, y - r * 0.8], base);
}

/** Return the point at `t` (0 to 1) of an edge's curve. */
export function pointAt(curves: Curves, edge: number, t: number): [number, number] {
  const b = edge * CURVE;
  const u = 1 - t;
  const w = [u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t];
  return [
    w[0] * curves[b] + w[1] * curves[b + 2] + w[2] * curves[b + 4] + w[3] * curves[b + 6],
    w[0] * curves[b + 1] + w[1] * curves[b + 3] + w[2] * curves[b + 5] + w[3] * curves[b + 7],
  ];
}

/**
 * Return the edge nearest to a point, or -1 when none is within `reach`.
 *
 * Every edge is looked at: of 30,000, all but a few are ruled out by their box in a fifth of a millisecond, and there is
 * no index to keep.
 */
export function nearestEdge(curves: Curves, x: number, y: number, reach: number, hidden?: Uint8Array): number {
  let best = -1;
  let least = reach * reach;
  for (let edge = 0, b = 0; b < curves.length; edge++, b += CURVE) {
    if (hidden?.[edge] || outside(curves, b, x, y, reach)) continue;
    let [fromX, fromY] = [curves[b], curves[b + 1]];
    for (let step = 1; step <= STEPS; step++) {
      const [toX, toY] = pointAt(curves, edge, step / STEPS);
      const found = squaredDistance(x, y, fromX, fromY, toX, toY);
      if (found < least) [best, least] = [edge, found];
      [fromX, fromY] = [toX, toY];
    }
  }
  return best;
}

function outside(curves: Curves, b: number, x: number, y: number, reach: number): boolean {
  const left = Math.min(curves[b], curves[b + 2], curves[b + 4], curves[b + 6]) - reach;
  const right = Math.max(curves[b], curves[b + 2], curves[b + 4], curves[b + 6]) + reach;
  if (!(x >= left && x <= right)) return true;
  const top = Math.min(curves[b + 1], curves[b + 3], curves[b + 5], curves[b + 7]) - reach;
  const bottom = Math.max(curves[b + 1], curves[b + 3], curves[b + 5], curves[b + 7]) + reach;
  return !(y >= top && y <= bottom);
}

function squaredDistance(x: number, y: number, ax: number, ay: number, bx: number, by: number): number {
  const dx = bx - ax;
  const dy = by - ay;
  const share = Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1)));
  return (ax + share * dx - x) ** 2 + (ay + share * dy - y) ** 2;
}
