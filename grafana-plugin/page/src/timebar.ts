/** The slider of time: traffic and changes of the past, where the window is, play, and steps from change to change. */

import { h, svg } from './dom.ts';
import { axisTicks, axisTime, formatTime } from './times.ts';

export interface Timeline {
  readonly time: readonly number[];
  readonly stepMs: number;
  readonly calls: readonly number[];
  readonly errors: readonly number[];
  readonly added: readonly number[];
  readonly removed: readonly number[];
}

export interface Mark {
  readonly ms: number;
  readonly title: string;
}

export interface TimebarGiven {
  readonly from: number;
  readonly to: number;
  readonly at: number;
  readonly windowMs: number;
  /** The other window of a diff, or NaN. */
  readonly before: number;
  readonly live: boolean;
}

const HIGH = 56;
const CHANGES = 12; // pixels at the top for marks of changes

/** Where something changed: ends of steps as long as the window shown, and what came and went in them. */
export interface ChangeStep {
  readonly ms: number;
  readonly added: number;
  readonly removed: number;
}

/** The columns of `/api/v1/timeline`. */
export function timelineOf(answer: unknown): Timeline {
  const own = answer as Record<string, unknown>;
  const numbers = (name: string): number[] => ((own[name] as (number | null)[] | undefined) ?? []).map((value) => value ?? 0);
  return {
    time: ((own.time as string[] | undefined) ?? []).map((text) => Date.parse(text)),
    stepMs: Number(own.step_seconds) * 1000,
    calls: numbers('calls'),
    errors: numbers('errors'),
    added: numbers('added'),
    removed: numbers('removed'),
  };
}

/**
 * The steps in which something changed, rising. The first step with data is no change: everything is new in it; nor is
 * one that has not ended, or in which nothing at all was seen (a gap in the data).
 */
export function changesOf({ time, stepMs, added, removed, calls }: Timeline): ChangeStep[] {
  const steps = time.map((ms, at) => ({ ms: ms + stepMs, added: added[at], removed: removed[at] }));
  return steps.filter((step, at) => calls[at] > 0 && calls[at - 1] > 0 && (step.added > 0 || step.removed > 0));
}

/** The next change after (or before) a time; null when there is none. */
export function nextChange(changes: readonly ChangeStep[], at: number, forward: boolean): number | null {
  const found = forward ? changes.find(({ ms }) => ms > at + 500) : changes.findLast(({ ms }) => ms < at - 500);
  return found?.ms ?? null;
}

export class Timebar {
  readonly #slider: HTMLInputElement;
  readonly #picture: HTMLDivElement;
  changes: readonly ChangeStep[] = [];
  #timeline: Timeline | null = null;
  #marks: readonly Mark[] = [];
  #given: TimebarGiven | null = null;

  constructor(host: HTMLElement, moved: (ms: number, done: boolean) => void) {
    this.#picture = h('div', { class: 'picture', 'aria-hidden': 'true' });
    this.#slider = h('input', {
      type: 'range',
      class: 'slider',
      id: 'slider',
      'aria-label': 'Time shown',
      oninput: () => moved(Number(this.#slider.value), false),
      onchange: () => moved(Number(this.#slider.value), true),
    });
    host.append(this.#picture, this.#slider);
    new ResizeObserver(() => this.#draw()).observe(host);
  }

  /** Show traffic by fine steps, and changes between steps as long as the window: smaller ones would not be seen. */
  setTimeline(traffic: Timeline, changes: readonly ChangeStep[]): void {
    this.#timeline = traffic;
    this.changes = changes;
    this.#draw();
  }

  /** Changes that were told of, such as deployments. */
  setMarks(marks: readonly Mark[]): void {
    this.#marks = marks;
    this.#draw();
  }

  set(given: TimebarGiven): void {
    this.#given = given;
    const step = Math.max(10_000, Math.round((given.to - given.from) / 360 / 10_000) * 10_000);
    // Steps count from the least value: it is on a round time, so that every place of the slider is.
    const least = Math.ceil(given.from / step) * step;
    Object.assign(this.#slider, { min: String(least), max: String(given.to), step: String(step) });
    this.#slider.value = String(given.at);
    this.#slider.setAttribute('aria-valuetext', given.live ? 'now' : `${formatTime(given.at)} UTC`);
    this.#draw();
  }

  #draw(): void {
    const width = this.#picture.clientWidth;
    const given = this.#given;
    if (!given || width < 50) return;
    const x = (ms: number): number => ((ms - given.from) / (given.to - given.from)) * width;
    const picture = svg('svg', { width, height: HIGH + 18, viewBox: `0 0 ${width} ${HIGH + 18}` });
    for (const [end, name] of [[given.before, 'before'], [given.at, 'shown']] as const) {
      if (Number.isNaN(end)) continue;
      const left = Math.max(0, x(end - given.windowMs));
      picture.append(svg('rect', { class: name, x: left, y: 0, width: Math.max(2, x(end) - left), height: HIGH }));
    }
    if (this.#timeline) picture.append(...bars(this.#timeline, x, width));
    for (const change of this.changes) picture.append(...changeMarks(change, x(change.ms), width));
    for (const mark of this.#marks) {
      const at = x(mark.ms);
      if (at >= 0 && at <= width) picture.append(svg('path', { class: 'told', d: `M${at} 2l4 4-4 4-4-4z` }, svg('title', {}, mark.title)));
    }
    const span = given.to - given.from;
    for (const tick of axisTicks(given.from, given.to, Math.max(2, Math.floor(width / 110)))) {
      const at = x(tick);
      if (at < 18 || at > width - 18) continue;
      picture.append(svg('text', { x: at, y: HIGH + 14, 'text-anchor': 'middle' }, axisTime(tick, span)));
    }
    picture.append(svg('line', { class: 'hand', x1: x(given.at), x2: x(given.at), y1: 0, y2: HIGH }));
    this.#picture.replaceChildren(picture);
  }
}

function* bars(timeline: Timeline, x: (ms: number) => number, width: number): Generator<SVGElement> {
  const most = Math.max(1, ...timeline.calls);
  const room = HIGH - CHANGES - 2;
  for (const [at, ms] of timeline.time.entries()) {
    const [left, right] = [x(ms), x(ms + timeline.stepMs)];
    if (right < 0 || left > width) continue;
    const wide = Math.max(1, right - left - 1);
    const high = (timeline.calls[at] / most) * room;
    const failed = Math.min(high, (timeline.errors[at] / most) * room);
    if (high > 0) yield svg('rect', { class: 'calls', x: left, y: HIGH - high, width: wide, height: high });
    if (failed > 0) yield svg('rect', { class: 'failed', x: left, y: HIGH - Math.max(1.5, failed), width: wide, height: Math.max(1.5, failed) });
  }
}

function* changeMarks({ added, removed }: ChangeStep, x: number, width: number): Generator<SVGElement> {
  if (x < 0 || x > width) return;
  if (added) yield svg('path', { class: 'added', d: `M${x} 1l4.5 8h-9z` }, svg('title', {}, `${added} added`));
  if (removed) yield svg('path', { class: 'removed', d: `M${x + (added ? 7 : 0)} 9l4.5 -8h-9z` }, svg('title', {}, `${removed} removed`));
}
