/** Durations and spans of time as the API writes them. */

import type { Interval } from './request';

const UNITS_S: ReadonlyArray<[string, number]> = [
  ['s', 1],
  ['m', 60],
  ['h', 3600],
  ['d', 86_400],
  ['w', 604_800],
];
const MOST = 99_999;

/** Milliseconds as the API's duration: the finest unit that has at most five digits, rounded up; at least a second. */
export function durationText(milliseconds: number): string {
  const seconds = Math.max(1, Math.round(milliseconds / 1000));
  const [unit, size] = UNITS_S.find(([, size]) => seconds <= MOST * size) ?? ['w', 604_800];
  return `${Math.ceil(seconds / size)}${unit}`;
}

/** The milliseconds of `90s`, `5m`, `1h`, `7d`, `2w`; null for anything else. */
export function durationMs(text: string): number | null {
  const found = /^([1-9]\d{0,4})([smhdw])$/.exec(text.trim());
  const unit = UNITS_S.find(([name]) => name === found?.[2]);
  return found && unit ? Number(found[1]) * unit[1] * 1000 : null;
}

/**
 * The stretch of time that a slider shows around a range: as long as asked for, never shorter than the range, the range
 * in its middle; but it ends now where the middle would show the future.
 *
 * @throws Error `span` is no duration.
 */
export function spanAround(range: Interval, span: string, now: number): Interval {
  const asked = durationMs(span);
  if (asked === null) {
    throw new Error(`“${span}” is no duration. Write for example 6h or 7d.`);
  }
  const length = Math.max(asked, range.to - range.from);
  const middle = (range.from + range.to) / 2;
  const to = Math.max(Math.min(middle + length / 2, now), range.to);
  return { from: to - length, to };
}
