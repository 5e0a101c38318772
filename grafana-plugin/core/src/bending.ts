/**
 * Bend edges around nodes that they would run through. For graphs small enough that one follows single edges; in large
 * ones nothing would be gained, and it costs edges × nodes.
 *
 * Invariant: where an edge begins and ends, and from which side, stays as it was.
 */

import { CURVE, pointAt } from './curves.ts';
import type { Curves, Places } from './curves.ts';
import type { Adjacency } from './adjacency.ts';

export const MOST_BENT = 400; // edges
const SAMPLES = 16;
const AIR = 5;
const LABEL = 21; // a name's height, below its node
const SHIFTS = [0, 14, -14, 28, -28, 42, -42, 60, -60, 80, -80, 105, -105, 135, -135, 170, -170];
const DETOUR = 0.03; // what a unit of shift costs: a name crossed once is better than a long way round

/** Shift the middle of each curve up or down as little as needed to pass clear of all other nodes and their names. */
export function bendAround(curves: Curves, { source, target }: Adjacency, places: Places): void {
  for (let edge = 0; edge < source.length; edge++) {
    const [s, t] = [source[edge], target[edge]];
    if (s < 0 || t < 0 || s === t) continue;
    const b = edge * CURVE;
    const [first, second] = [curves[b + 3], curves[b + 5]];
    let [best, least] = [0, Infinity];
    for (const shift of SHIFTS) {
      curves[b + 3] = first + shift;
      curves[b + 5] = second + shift;
      const cost = covered(curves, edge, s, t, places) + Math.abs(shift) * DETOUR;
      if (cost < least) [best, least] = [shift, cost];
      if (least <= Math.abs(shift) * DETOUR) break;
    }
    curves[b + 3] = first + best;
    curves[b + 5] = second + best;
  }
}

/** How much of a curve runs through nodes or names that are not its own ends. */
function covered(curves: Curves, edge: number, s: number, t: number, { x, y, radius }: Places): number {
  let hits = 0;
  for (let step = 1; step < SAMPLES; step++) {
    const [atX, atY] = pointAt(curves, edge, step / SAMPLES);
    for (let node = 0; node < x.length; node++) {
      if (node === s || node === t) continue;
      const r = radius[node] + AIR;
      const dx = Math.abs(atX - x[node]);
      const dy = atY - y[node];
      if (dx > 58 || dy < -r || dy > r + LABEL) continue;
      if (dx * dx + dy * dy < r * r) hits += 3;
      else if (dy > radius[node] * 0.8) hits += 1;
    }
  }
  return hits;
}
