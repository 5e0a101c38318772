/** Moving through the past: by the slider, from change to change, and by itself. */

import { announce } from './messages.ts';
import type { Page } from './page.ts';
import { spanOf, timeMs } from './state.ts';
import { nextChange } from './timebar.ts';
import type { Timebar } from './timebar.ts';
import { rfc3339 } from './times.ts';

const PLAY_MS = 900;
const PLAY_STEPS = 60;
const FINEST_MS = 10_000;

export class Playing {
  #running: ReturnType<typeof setInterval> | undefined;

  /** `changed` hears when it begins and when it ends. */
  constructor(
    private readonly page: Page,
    private readonly changed: () => void,
  ) {}

  get running(): boolean {
    return this.#running !== undefined;
  }

  /** The slider was moved to a time. At its end the page follows the present again. */
  slide(ms: number, done: boolean): void {
    this.stop();
    const { state } = this.page;
    const { to } = spanOf(state, Date.now());
    const live = done && state.until === 'now' && ms >= to - FINEST_MS;
    this.page.change({ at: live ? 'now' : rfc3339(ms) });
  }

  /** Go to the next change, or to the one before. */
  step(bar: Timebar, forward: boolean): void {
    this.stop();
    const found = nextChange(bar.changes, this.page.shown?.at ?? Date.now(), forward);
    if (found === null) announce(`No ${forward ? 'later' : 'earlier'} change in the last ${this.page.state.range}.`);
    else this.page.change({ at: rfc3339(found) });
  }

  /** Begin to play from the time shown, or stop. */
  toggle(): void {
    if (this.running) this.stop();
    else this.#play();
  }

  stop(): void {
    clearInterval(this.#running);
    this.#running = undefined;
    this.changed();
  }

  #play(): void {
    const { state } = this.page;
    const { from, to } = spanOf(state, Date.now());
    const step = Math.max(FINEST_MS, Math.round((to - from) / PLAY_STEPS / FINEST_MS) * FINEST_MS);
    let at = state.at === 'now' ? from : timeMs(state.at, Date.now());
    this.#running = setInterval(() => {
      if (this.page.asking.waitsFor('graph')) return; // a slow server sets the pace: a question overtaken is never seen
      at += step;
      if (at >= to) this.stop();
      this.page.change({ at: rfc3339(Math.min(at, to)) });
    }, PLAY_MS);
    this.changed();
  }
}
