/**
 * A part of a large drawing, drawn closer: who is left of whom and above whom stays, but the room of those that are not
 * in the part goes. Pure.
 */

import type { Positions } from '../scene.ts';
import { COLUMN, ROW } from './place.ts';

const MOST_ROOM = 12; // cells for each service from which a drawing is more air than services

/** Return places for some services of a drawing; null when they are near each other already, and may stay where they are. */
export function drawCloser(ids: readonly string[], positions: Positions): Positions | null {
  const placed = ids.flatMap((id) => {
    const place = positions.get(id);
    return place ? [{ id, x: place[0], y: place[1] }] : [];
  });
  if (!placed.length || roomOf(placed) <= MOST_ROOM * placed.length) return null;
  const columns = new Map<number, typeof placed>();
  for (const one of placed.sort((a, b) => a.x - b.x || a.y - b.y)) {
    const column = Math.round(one.x / COLUMN);
    columns.set(column, [...(columns.get(column) ?? []), one]);
  }
  const places = new Map<string, readonly [number, number]>();
  [...columns.values()].forEach((members, column) => {
    members.sort((a, b) => a.y - b.y);
    members.forEach(({ id }, row) => places.set(id, [column * COLUMN, (row - (members.length - 1) / 2) * ROW]));
  });
  return places;
}

/** How many cells the box around some places has. */
function roomOf(placed: readonly { readonly x: number; readonly y: number }[]): number {
  const span = (values: number[], cell: number): number => (values.reduce((a, b) => Math.max(a, b)) - values.reduce((a, b) => Math.min(a, b))) / cell + 1;
  return span(placed.map(({ x }) => x), COLUMN) * span(placed.map(({ y }) => y), ROW);
}
