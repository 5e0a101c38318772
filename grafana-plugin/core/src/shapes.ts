/**
 * A shape and an icon for each kind of node, so that kinds are told apart without colour. Paths are added to one
 * `Path2D` for all nodes of a kind: drawing thousands is one fill and one stroke.
 */

import type { Kind } from './graph.ts';

type Draw = (path: Path2D, x: number, y: number, r: number) => void;

/** The outline of a kind, around (x, y), about `r` in every direction. */
export const OUTLINES: Readonly<Record<Kind, Draw>> = {
  service: circle,
  database: cylinder,
  messaging: (path, x, y, r) => polygon(path, [[x - r * 0.7, y - r * 0.85], [x + r * 0.7, y - r * 0.85], [x + r * 1.15, y], [x + r * 0.7, y + r * 0.85], [x - r * 0.7, y + r * 0.85], [x - r * 1.15, y]]),
  external: (path, x, y, r) => rounded(path, x, y, r * 1.05, r * 0.85, r * 0.28),
  intermediary: (path, x, y, r) => polygon(path, [[x, y - r * 1.15], [x + r * 1.15, y], [x, y + r * 1.15], [x - r * 1.15, y]]),
  unknown: circle,
};

/** The strokes of a kind's icon. */
export const ICONS: Readonly<Record<Kind, Draw>> = {
  // A cube: something that runs.
  service: (path, x, y, r) => {
    const s = r * 0.5;
    polygon(path, [[x, y - s], [x + s * 0.87, y - s * 0.5], [x + s * 0.87, y + s * 0.5], [x, y + s], [x - s * 0.87, y + s * 0.5], [x - s * 0.87, y - s * 0.5]]);
    lines(path, [[x - s * 0.87, y - s * 0.5, x, y], [x + s * 0.87, y - s * 0.5, x, y], [x, y, x, y + s]]);
  },
  // The rims of a cylinder.
  database: (path, x, y, r) => {
    for (const at of [-0.58, -0.12]) {
      path.moveTo(x - r * 0.85, y + r * at);
      path.ellipse(x, y + r * at, r * 0.85, r * 0.3, 0, Math.PI, 0, true);
    }
  },
  // Messages in a row.
  messaging: (path, x, y, r) => lines(path, [-0.4, 0, 0.4].map((at) => [x + r * at, y - r * 0.38, x + r * at, y + r * 0.38])),
  // A globe.
  external: (path, x, y, r) => {
    circle(path, x, y, r * 0.52);
    path.moveTo(x, y - r * 0.52);
    path.ellipse(x, y, r * 0.22, r * 0.52, 0, -Math.PI / 2, Math.PI * 1.5);
    lines(path, [[x - r * 0.52, y, x + r * 0.52, y]]);
  },
  // One way in, two out.
  intermediary: (path, x, y, r) => {
    lines(path, [[x - r * 0.5, y, x - r * 0.05, y], [x - r * 0.05, y, x + r * 0.42, y - r * 0.36], [x - r * 0.05, y, x + r * 0.42, y + r * 0.36]]);
  },
  // A question mark.
  unknown: (path, x, y, r) => {
    path.moveTo(x - r * 0.25, y - r * 0.22);
    path.arc(x, y - r * 0.22, r * 0.25, Math.PI, Math.PI * 2.4);
    path.lineTo(x, y + r * 0.18);
    lines(path, [[x, y + r * 0.4, x, y + r * 0.46]]);
  },
};

/** An arrow's head with its tip at (x, y), pointing along (dx, dy). */
export function arrowHead(path: Path2D, x: number, y: number, dx: number, dy: number, size: number): void {
  const length = Math.hypot(dx, dy) || 1;
  const [ux, uy] = [dx / length, dy / length];
  const [backX, backY] = [x - ux * size, y - uy * size];
  path.moveTo(x, y);
  path.lineTo(backX - uy * size * 0.42, backY + ux * size * 0.42);
  path.lineTo(backX + uy * size * 0.42, backY - ux * size * 0.42); // a fill closes it
}

function circle(path: Path2D, x: number, y: number, r: number): void {
  path.moveTo(x + r, y);
  path.arc(x, y, r, 0, Math.PI * 2);
}

function cylinder(path: Path2D, x: number, y: number, r: number): void {
  const [wide, high, rim] = [r * 0.85, r * 0.58, r * 0.3];
  path.moveTo(x - wide, y - high);
  path.ellipse(x, y - high, wide, rim, 0, Math.PI, 0);
  path.lineTo(x + wide, y + high);
  path.ellipse(x, y + high, wide, rim, 0, 0, Math.PI);
  path.closePath();
}

function rounded(path: Path2D, x: number, y: number, wide: number, high: number, corner: number): void {
  path.roundRect(x - wide, y - high, wide * 2, high * 2, corner);
}

function polygon(path: Path2D, points: readonly (readonly [number, number])[]): void {
  points.forEach(([x, y], at) => (at ? path.lineTo(x, y) : path.moveTo(x, y)));
  path.closePath();
}

function lines(path: Path2D, segments: readonly (readonly number[])[]): void {
  for (const [fromX, fromY, toX, toY] of segments) {
    path.moveTo(fromX, fromY);
    path.lineTo(toX, toY);
  }
}
