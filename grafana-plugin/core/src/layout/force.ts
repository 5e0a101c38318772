/**
 * A layout in the browser, for graphs that come without places: forces, with callers drawn left of callees. It is the
 * second choice (2,000 nodes take seconds, in a worker); the server's places are better and remembered.
 */

import { forceCollide, forceLink, forceManyBody, forceSimulation, forceX, forceY } from 'd3-force';
import type { SimulationLinkDatum, SimulationNodeDatum } from 'd3-force';
import type { Positions } from '../scene.ts';

export interface LayoutRequest {
  readonly nodes: readonly string[];
  /** Pairs of indices into `nodes`: caller, callee. */
  readonly edges: readonly (readonly [number, number])[];
  /** Places that are known: they are kept. */
  readonly known: readonly (readonly [string, number, number])[];
}

interface Place extends SimulationNodeDatum {
  readonly rank: number;
}

const COLUMN = 190;
const TICKS = 300;

/** Return a place for each node; those known stay where they are. Deterministic. */
export function forceLayout(request: LayoutRequest, ticks = TICKS): Positions {
  const known = new Map(request.known.map(([id, x, y]) => [id, [x, y] as const]));
  const ranks = ranksOf(request);
  const places: Place[] = request.nodes.map((id, at) => {
    const fixed = known.get(id);
    const start = { x: ranks[at] * COLUMN, y: ((at * 137.5) % 997) - 498 };
    return fixed ? { rank: ranks[at], x: fixed[0], y: fixed[1], fx: fixed[0], fy: fixed[1] } : { rank: ranks[at], ...start };
  });
  const links: SimulationLinkDatum<Place>[] = request.edges.map(([source, target]) => ({ source, target }));
  const simulation = forceSimulation(places)
    .force('link', forceLink(links).distance(COLUMN * 0.9))
    .force('apart', forceManyBody().strength(-900).distanceMax(COLUMN * 6).theta(1))
    .force('flow', forceX<Place>((place) => place.rank * COLUMN).strength(known.size ? 0 : 0.5))
    .force('near', forceY(0).strength(0.03))
    .force('room', forceCollide(42))
    .stop();
  const enough = Math.min(ticks, Math.max(60, Math.round(300_000 / (request.nodes.length + 1))));
  simulation.alphaDecay(1 - 0.001 ** (1 / enough)).tick(enough);
  return new Map(request.nodes.map((id, at) => [id, [places[at].x ?? 0, places[at].y ?? 0]]));
}

/** How far right each node belongs: a smoothed distance from the callers that nobody calls. Cycles share a place. */
function ranksOf({ nodes, edges }: LayoutRequest): Float64Array {
  const ranks = new Float64Array(nodes.length);
  const weights = new Float64Array(nodes.length);
  for (let round = 0; round < 30; round++) {
    const wanted = new Float64Array(nodes.length);
    weights.fill(0);
    for (const [source, target] of edges) {
      wanted[source] += ranks[target] - 1;
      wanted[target] += ranks[source] + 1;
      weights[source]++;
      weights[target]++;
    }
    for (let at = 0; at < nodes.length; at++) {
      if (weights[at]) ranks[at] += 0.7 * (wanted[at] / weights[at] - ranks[at]);
    }
  }
  return ranks;
}
