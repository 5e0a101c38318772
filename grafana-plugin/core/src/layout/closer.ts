/**
 * A part of a large drawing, drawn closer: who is left of whom and above whom stays, but the room of those that are not
 * in the part goes. Pure.
 */

import type { Positions } from '../scene.ts';
import { COLUMN, ROW } from './place.ts';

interface Placed {
  readonly id: string;
  readonly x: number;
  readonly y: number;
}

const FEW_COLUMNS = 8; // so many fit beside each other anyway
const ASPECT = 1.7; // of a screen
const MOST_ROOM = 12; // cells for each service from which a drawing is more air than services

/** Return places for some services of a drawing; null when they are near each other already, and may stay where they are. */
export function drawCloser(ids: readonly string[], positions: Positions): Positions | null {
  const placed = ids.flatMap((id) => {
    const place = positions.get(id);
    return place ? [{ id, x: place[0], y: place[1] }] : [];
  });
  if (!placed.length || roomOf(placed) <= MOST_ROOM * placed.length) return null;
  const places = new Map<string, readonly [number, number]>();
  columnsOf(placed).forEach((members, column) => {
    members.sort((a, b) => a.y - b.y);
    members.forEach(({ id }, row) => places.set(id, [column * COLUMN, (row - (members.length - 1) / 2) * ROW]));
  });
  return places;
}

/** The services of each column, from left to right; where there are more columns than a screen is wide, neighbours join. */
function columnsOf(placed: readonly Placed[]): Placed[][] {
  const columns = new Map<number, Placed[]>();
  for (const one of [...placed].sort((a, b) => a.x - b.x)) {
    const column = Math.round(one.x / COLUMN);
    columns.set(column, [...(columns.get(column) ?? []), one]);
  }
  const most = Math.max(FEW_COLUMNS, Math.ceil(Math.sqrt((ASPECT * ROW * placed.length) / COLUMN)));
  if (columns.size <= most) return [...columns.values()];
  const joined: Placed[][] = [[]];
  for (const members of columns.values()) {
    if (joined[joined.length - 1].length >= placed.length / most) joined.push([]);
    joined[joined.length - 1].push(...members);
  }
  return joined;
}

/** How many cells the box around some places has. */
function roomOf(placed: readonly Placed[]): number {
  const span = (values: number[], cell: number): number => (values.reduce((a, b) => Math.max(a, b)) - values.reduce((a, b) => Math.min(a, b))) / cell + 1;
  return span(placed.map(({ x }) => x), COLUMN) * span(placed.map(({ y }) => y), ROW);
}
