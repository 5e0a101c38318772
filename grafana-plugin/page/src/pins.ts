/** Places that a person gave to services: kept by the browser, and put over those of the server. */

import type { Positions } from '@chronotope/core';
import { h } from './dom.ts';

const KEY = 'chronotope.pins';

/** By grouping, then by id. */
type Places = Record<string, Record<string, [number, number]>>;

export class Pins {
  #all: Places = {};

  constructor(private readonly storage: Storage | null) {
    try {
      this.#all = (JSON.parse(storage?.getItem(KEY) ?? '{}') as Places | null) ?? {};
    } catch {
      this.#all = {}; // what another version left there cannot be read: begin anew
    }
  }

  set(grouping: string, id: string, x: number, y: number): void {
    this.#all[grouping] = { ...this.#all[grouping], [id]: [Math.round(x), Math.round(y)] };
    this.#save();
  }

  clear(grouping: string): void {
    this.#all = Object.fromEntries(Object.entries(this.#all).filter(([own]) => own !== grouping));
    this.#save();
  }

  count(grouping: string): number {
    return Object.keys(this.#all[grouping] ?? {}).length;
  }

  over(grouping: string, positions: Positions): Positions {
    const own = Object.entries(this.#all[grouping] ?? {});
    return own.length ? new Map([...positions, ...own]) : positions;
  }

  #save(): void {
    try {
      this.storage?.setItem(KEY, JSON.stringify(this.#all));
    } catch {
      // Storage may be full or forbidden: pins last as long as the page then.
    }
  }
}

/** How many services were moved, and a way to put them back. */
export function pinControl(count: number, reset: () => void): HTMLElement {
  if (!count) return h('span', { class: 'note' }, 'Drag a service to move it: its place is remembered.');
  return h('button', { type: 'button', onclick: reset }, `Put ${count} moved ${count === 1 ? 'service' : 'services'} back`);
}
