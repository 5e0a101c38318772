/** Times for people: in UTC, as the server and most logs have them. Pure. */

/** `2026-11-23 04:55:10` */
export function formatTime(ms: number): string {
  return Number.isNaN(ms) ? '' : new Date(ms).toISOString().slice(0, 19).replace('T', ' ');
}

/** RFC 3339 without parts of a second. */
export function rfc3339(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** A time on an axis: the day only where it matters. */
export function axisTime(ms: number, spanMs: number): string {
  const text = new Date(ms).toISOString();
  if (spanMs > 4 * 86_400_000) return text.slice(5, 10);
  return spanMs > 20 * 3_600_000 ? `${text.slice(5, 10)} ${text.slice(11, 16)}` : text.slice(11, 16);
}

const NICE_STEPS = [10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000];

/** At most `most` round times in a span. */
export function axisTicks(from: number, to: number, most: number): number[] {
  const step = (NICE_STEPS.find((seconds) => (to - from) / 1000 / seconds <= most) ?? 7_776_000) * 1000;
  const ticks: number[] = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) ticks.push(at);
  return ticks;
}

/** How long ago, in one unit. */
export function ago(ms: number, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - ms) / 1000));
  for (const [size, unit] of [[86_400, 'd'], [3600, 'h'], [60, 'min']] as const) {
    if (seconds >= 2 * size) return `${Math.round(seconds / size)} ${unit} ago`;
  }
  return `${seconds} s ago`;
}
