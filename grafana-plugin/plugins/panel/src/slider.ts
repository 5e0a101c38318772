/** Arithmetic of the time slider. Pure; instants are Unix milliseconds. */

import type { Timeline } from './frames';

export interface Interval {
  readonly from: number;
  readonly to: number;
}

/** The stretch of time that a timeline covers. */
export function extentOf({ time, stepMs }: Timeline): Interval {
  return { from: time[0], to: time[time.length - 1] + stepMs };
}

/** A range of the same length, moved by some time but never out of the extent. */
export function moved(range: Interval, byMs: number, extent: Interval): Interval {
  const length = range.to - range.from;
  const to = Math.max(Math.min(range.to + byMs, extent.to), Math.min(extent.from + length, extent.to));
  return { from: to - length, to };
}

/** The range that ends where the next change has just become visible; null when there is none that way. */
export function atNextChange(range: Interval, timeline: Timeline, direction: 1 | -1): Interval | null {
  const ends = timeline.time.filter((_, at) => timeline.changes[at] > 0).map((start) => start + timeline.stepMs);
  const to = direction > 0 ? ends.find((end) => end > range.to) : ends.filter((end) => end < range.to).pop();
  return to === undefined ? null : { from: to - (range.to - range.from), to };
}

/** Where an instant is on the slider, from 0 to 1. */
export function shareOf(instant: number, { from, to }: Interval): number {
  return Math.min(1, Math.max(0, (instant - from) / (to - from)));
}

/** The bucket of a timeline that holds an instant; -1 when none does. */
export function bucketAt({ time, stepMs }: Timeline, instant: number): number {
  const at = Math.floor((instant - time[0]) / stepMs);
  return at >= 0 && at < time.length ? at : -1;
}
