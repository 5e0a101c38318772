/** What stands out in a view: what the pointer is on, what was selected or marked, and where the keyboard's cursor is. */

import { edgesOf } from './adjacency.ts';
import type { Highlight } from './paint.ts';
import { neighboursOf } from './scene.ts';
import type { Scene } from './scene.ts';
import { isThere, NOTHING, targetOf } from './selection.ts';
import type { Target } from './selection.ts';

export class Attention {
  selected: Target = NOTHING;
  hovered: Target = NOTHING;
  /** Ids of services that stand out together, such as what a search found; null: none. */
  marked: ReadonlySet<string> | null = null;
  /** The node that the keyboard is on; -1: none yet. */
  cursor = -1;

  /** Another graph took the place of one: what was selected stays so if it is still there. */
  follow(before: Scene, after: Scene): void {
    const { node, edge } = this.selected;
    this.selected = targetOf(after, before.graph.nodes[node]?.id ?? before.graph.edges[edge]?.id);
    this.cursor = after.adjacency.index.get(before.graph.nodes[this.cursor]?.id ?? '') ?? -1;
    this.hovered = NOTHING;
  }

  /** What is to be drawn above all else: what the pointer is on, else what is selected, else what is marked. */
  highlight(scene: Scene): Highlight | null {
    const ringed = [this.selected.node, this.hovered.node].filter((at) => at >= 0);
    const one = [this.hovered, this.selected].find(isThere);
    if (one) return one.node >= 0 ? aroundNode(scene, one.node, ringed) : aroundEdge(scene, one.edge, ringed);
    return this.marked && among(scene, this.marked, ringed);
  }

  /** How much of all the rest is seen: 1 is all of it. */
  opacity(): number {
    if (isThere(this.selected) || this.marked !== null) return 0.16;
    return isThere(this.hovered) ? 0.3 : 1;
  }
}

function aroundNode(scene: Scene, node: number, ringed: readonly number[]): Highlight {
  const nodes = new Set([...neighboursOf(scene, node), node, ...ringed]);
  return { nodes, edges: new Set(edgesOf(scene.adjacency, node)), ringed };
}

function aroundEdge({ adjacency }: Scene, edge: number, ringed: readonly number[]): Highlight {
  const ends = [adjacency.source[edge], adjacency.target[edge]].filter((at) => at >= 0);
  return { nodes: new Set([...ends, ...ringed]), edges: new Set([edge]), ringed };
}

function among({ adjacency }: Scene, ids: ReadonlySet<string>, ringed: readonly number[]): Highlight {
  const nodes = new Set([...ids].map((id) => adjacency.index.get(id) ?? -1).filter((at) => at >= 0));
  const edges = new Set<number>();
  adjacency.source.forEach((source, at) => {
    if (nodes.has(source) && nodes.has(adjacency.target[at])) edges.add(at);
  });
  return { nodes, edges, ringed };
}
