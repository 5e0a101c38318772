/** Where an arrow key leads: to a neighbour in its direction, else to whatever node is nearest there. Pure. */

import { neighboursOf } from './scene.ts';
import type { Scene } from './scene.ts';

const DIRECTIONS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** The node that `key` leads to from a node; the node itself when nothing is there. */
export function nextNode(scene: Scene, from: number, key: string): number {
  const direction = DIRECTIONS[key];
  if (!direction || from < 0) return from;
  const near = best(scene, from, direction, neighboursOf(scene, from));
  const found = near >= 0 ? near : best(scene, from, direction, scene.x.keys());
  return found >= 0 ? found : from;
}

/** The nearest of some nodes within 60° of a direction; off the straight line counts double. */
function best(scene: Scene, from: number, [dx, dy]: readonly [number, number], among: Iterable<number>): number {
  let [found, least] = [-1, Infinity];
  for (const at of among) {
    if (at === from) continue;
    const [x, y] = [scene.x[at] - scene.x[from], scene.y[at] - scene.y[from]];
    const along = x * dx + y * dy;
    const beside = Math.abs(x * dy) + Math.abs(y * dx);
    if (along <= 0 || beside > along * 1.8) continue;
    if (along + 2 * beside < least) [found, least] = [at, along + 2 * beside];
  }
  return found;
}
