/** What happened in the slider's span: how much was seen, when it changed, and events. */

import type { Asking } from './asking.ts';
import { eventsOf } from './lists.ts';
import type { TopologyEvent } from './lists.ts';
import { spanQuery } from './reading.ts';
import { changeStep, windowQuery } from './state.ts';
import type { State } from './state.ts';
import { changesOf, timelineOf } from './timebar.ts';

export interface Span {
  readonly timeline: ReturnType<typeof timelineOf>;
  readonly changes: ReturnType<typeof changesOf>;
  readonly events: TopologyEvent[];
}

export class SpanReader {
  #asked = '';

  constructor(private readonly asking: Asking) {}

  /** Ask for the span that a state wants; null when it is there already, unless `always`, or when a newer question took over. */
  async read(state: State, always: boolean): Promise<Span | null> {
    const query = spanQuery(state, Date.now());
    const { view, layers } = windowQuery(state);
    const wanted = JSON.stringify([query, view, layers]);
    if (!always && wanted === this.#asked) return null;
    this.#asked = wanted;
    const asked = { ...query, view, ...(layers ? { layers } : {}) };
    const [timeline, changes, events] = await Promise.all([
      this.asking.ask('timeline', 'api/v1/timeline', asked),
      this.asking.ask('changes', 'api/v1/timeline', { ...asked, step: changeStep(state) }),
      this.asking.ask('events', 'api/v1/events', query),
    ]).catch((error: unknown) => {
      this.#asked = ''; // it is asked for again
      throw error;
    });
    if (!timeline || !changes || !events) return null;
    return { timeline: timelineOf(timeline), changes: changesOf(timelineOf(changes)), events: eventsOf(events) };
  }
}
