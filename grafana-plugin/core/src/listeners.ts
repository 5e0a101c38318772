/** What a view tells whoever holds it. */

import type { Selection } from './selection.ts';

export interface ViewEvents {
  /** A click, or Escape. */
  select: Selection;
  /** The pointer came to something, or left it. */
  hover: Selection;
  /** A double click or Enter. */
  open: NonNullable<Selection>;
  /** A node was dragged to a new place. */
  pin: { readonly id: string; readonly x: number; readonly y: number };
  /** A frame was drawn: milliseconds of our own work. */
  frame: { readonly ms: number; readonly moving: boolean };
}

export type Listener<K extends keyof ViewEvents> = (event: ViewEvents[K]) => void;

export class Listeners {
  readonly #heard: { [K in keyof ViewEvents]: Set<Listener<K>> } = {
    select: new Set(),
    hover: new Set(),
    open: new Set(),
    pin: new Set(),
    frame: new Set(),
  };

  /** Listen; returns a function that stops. */
  on<K extends keyof ViewEvents>(name: K, listener: Listener<K>): () => void {
    this.#heard[name].add(listener);
    return () => this.#heard[name].delete(listener);
  }

  send<K extends keyof ViewEvents>(name: K, event: ViewEvents[K]): void {
    for (const listener of this.#heard[name]) listener(event);
  }
}
