/** A place for a node that has none: beside its neighbours, where nothing is yet. Moves no other node. Pure. */

import { adjacencyOf, edgesOf } from '../adjacency.ts';
import type { Graph } from '../graph.ts';
import type { Positions } from '../scene.ts';

export const COLUMN = 190; // world units: a label's width and some air
export const ROW = 76;

/** Return places for all nodes of a graph; those that were given stay. */
export function placeMissing(graph: Graph, positions: Positions): Positions {
  const missing = graph.nodes.filter((node) => !positions.has(node.id));
  if (!missing.length) return positions;
  const adjacency = adjacencyOf(graph);
  const placed = new Map(positions);
  const cells = new Set([...positions.values()].map(([x, y]) => cellOf(x, y)));
  for (const node of missing) {
    const at = adjacency.index.get(node.id) ?? -1;
    const wanted: [number, number][] = [];
    for (const edge of edgesOf(adjacency, at)) {
      const calls = adjacency.source[edge] === at;
      const other = graph.nodes[calls ? adjacency.target[edge] : adjacency.source[edge]];
      const place = other && placed.get(other.id);
      if (place) wanted.push([place[0] + (calls ? -COLUMN : COLUMN), place[1]]);
    }
    const mean = (axis: 0 | 1): number => wanted.reduce((sum, place) => sum + place[axis], 0) / (wanted.length || 1);
    const [x, y] = freeCell(cells, mean(0), mean(1));
    cells.add(cellOf(x, y));
    placed.set(node.id, [x, y]);
  }
  return placed;
}

/** The nearest cell to a place that nobody is in; a column away counts as three rows, for a caller's side tells much. */
function freeCell(cells: ReadonlySet<string>, x: number, y: number): [number, number] {
  const [column, row] = [Math.round(x / COLUMN), Math.round(y / ROW)];
  for (let far = 0; ; far++) {
    for (let aside = 0; aside * 3 <= far; aside++) {
      const off = far - aside * 3;
      for (const [dx, dy] of [[aside, off], [aside, -off], [-aside, off], [-aside, -off]]) {
        if (!cells.has(`${column + dx} ${row + dy}`)) return [(column + dx) * COLUMN, (row + dy) * ROW];
      }
    }
  }
}

function cellOf(x: number, y: number): string {
  return `${Math.round(x / COLUMN)} ${Math.round(y / ROW)}`;
}
