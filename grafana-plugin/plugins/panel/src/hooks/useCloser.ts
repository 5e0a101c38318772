/**
 * Places in a neighbourhood: far-flung services of a large graph are drawn closer. Invariant: while one neighbourhood is
 * looked at, a service keeps its place, whatever time is shown.
 */

import { useState } from 'react';

import { drawCloser } from '../../../../core/src/index.ts';
import type { Graph, Positions } from '../../../../core/src/index.ts';

interface Part {
  readonly name: string;
  /** Null: places are those of the whole. */
  readonly places: Positions | null;
}

const WHOLE: Part = { name: '', places: null };

/**
 * Returns the places to draw with, and what moves one of them; `move` is null where places are those of the whole.
 *
 * @param name Of the neighbourhood; empty when the whole graph is shown.
 */
export function useCloser(graph: Graph, whole: Positions | null, name: string) {
  const [kept, setKept] = useState(WHOLE);
  let part = kept;
  if (kept.name !== name && whole && graph.nodes.length > 0) {
    part = name ? { name, places: drawCloser(graph.nodes.map(({ id }) => id), whole) } : WHOLE;
    setKept(part);
  }
  const { places } = part.name === name ? part : WHOLE;
  const move = (id: string, x: number, y: number) => setKept({ name, places: new Map(places).set(id, [x, y]) });
  return places ? { positions: places, move } : { positions: whole, move: null };
}
