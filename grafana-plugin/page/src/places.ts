/**
 * Where services are drawn: as the server says, over it what a person moved; a far-flung part of a large graph closer.
 *
 * Invariant: while the same part of the graph is looked at, a service keeps its place, whatever time is shown.
 */

import { drawCloser, placeMissing } from '@chronotope/core';
import type { Positions } from '@chronotope/core';
import type { Asking } from './asking.ts';
import { Pins } from './pins.ts';
import { readPositions } from './reading.ts';
import type { Shown } from './reading.ts';
import type { State } from './state.ts';

export class Places {
  readonly #whole = new Map<string, Positions>();
  readonly #pins: Pins;
  /** The part that is looked at, and its own places; null: those of the whole. */
  #part: { readonly name: string; places: Positions | null } = { name: '', places: null };
  /** The drawing that is seen, as pins know it. */
  #drawing = '';

  constructor(
    private readonly asking: Asking,
    storage: Storage | null,
  ) {
    this.#pins = new Pins(storage);
  }

  /** Ask for places when the graph has a service without one. */
  async complete({ graph, grouping }: Shown): Promise<void> {
    const known = this.#whole.get(grouping);
    if (known && graph.nodes.every(({ id }) => known.has(id))) return;
    const found = await readPositions(this.asking, grouping);
    if (found) this.#whole.set(grouping, found);
  }

  of({ graph, grouping }: Shown, state: State): Positions {
    const whole = this.#pins.over(grouping, this.#whole.get(grouping) ?? new Map());
    const name = partOf(state);
    if (name !== this.#part.name && graph.nodes.length) {
      const closer = name && drawCloser(graph.nodes.map(({ id }) => id), whole);
      this.#part = { name, places: closer || null };
    }
    const part = this.#part.name === name ? this.#part.places : null;
    this.#drawing = part ? `${grouping} ${name}` : grouping;
    if (!part) return whole;
    this.#part.places = placeMissing(graph, part);
    return this.#pins.over(this.#drawing, this.#part.places);
  }

  /** How many services a person moved in the drawing that is seen. */
  get moved(): number {
    return this.#pins.count(this.#drawing);
  }

  move(id: string, x: number, y: number): void {
    this.#pins.set(this.#drawing, id, x, y);
  }

  putBack(): void {
    this.#pins.clear(this.#drawing);
  }
}

/** What narrows the graph to a part of it; empty: nothing does. */
function partOf({ focus, depth, direction, namespace, group }: State): string {
  return focus || namespace ? [focus, depth, direction, namespace, group].join(' ') : '';
}
