/** What the page shows, and its form in the address bar: whoever opens a shared link sees the same. Pure. */

import { LAYERS } from '@chronotope/core';
import type { ColourBy, Direction, EdgeLabel, Layer } from '@chronotope/core';

export interface State {
  /** End of the window: `now`, or RFC 3339. */
  readonly at: string;
  readonly window: string;
  /** How much time the slider covers. */
  readonly range: string;
  /** End of the slider: `now`, or RFC 3339. */
  readonly until: string;
  readonly mode: 'graph' | 'diff';
  /** With what a diff compares: `-1h`, or a time. */
  readonly before: string;
  readonly view: 'resolved' | 'hops';
  /** Layers whose evidence counts; all when empty. */
  readonly layers: readonly Layer[];
  readonly colour: ColourBy;
  readonly label: EdgeLabel;
  readonly group: string;
  readonly namespace: string;
  readonly focus: string;
  readonly depth: number;
  readonly direction: Direction;
  readonly search: string;
  readonly select: string;
  readonly panel: 'none' | 'services' | 'events' | 'table';
}

export const DEFAULTS: State = {
  at: 'now',
  window: '5m',
  range: '1h',
  until: 'now',
  mode: 'graph',
  before: '-1h',
  view: 'resolved',
  layers: [],
  colour: 'errors',
  label: 'none',
  group: '',
  namespace: '',
  focus: '',
  depth: 1,
  direction: 'both',
  search: '',
  select: '',
  panel: 'none',
};

const CHOICES: Partial<Record<keyof State, readonly string[]>> = {
  mode: ['graph', 'diff'],
  view: ['resolved', 'hops'],
  colour: ['errors', 'latency', 'rate', 'layers'],
  label: ['none', 'rate', 'errors', 'latency', 'protocol'],
  direction: ['both', 'upstream', 'downstream'],
  panel: ['none', 'services', 'events', 'table'],
};

/** Read a query string; what cannot be understood is left at its default. */
export function parseState(query: string): State {
  const given = new URLSearchParams(query);
  const found: Record<string, unknown> = { ...DEFAULTS };
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    const text = given.get(name);
    if (text === null) continue;
    const choices = CHOICES[name as keyof State];
    if (name === 'layers') found.layers = LAYERS.filter((layer) => text.split(',').includes(layer));
    else if (typeof usual === 'number') found[name] = Math.max(1, Math.min(100, Math.trunc(Number(text)) || usual));
    else if (!choices || choices.includes(text)) found[name] = text;
  }
  return found as unknown as State;
}

/** The query string of a state: only what differs from the defaults. */
export function stateQuery(state: State): string {
  const query = new URLSearchParams();
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    const value = String(state[name as keyof State]);
    if (value !== String(usual)) query.set(name, value);
  }
  return query.toString();
}

/** Parameters that every question about a window has. */
export function windowQuery(state: State): Record<string, string> {
  const query: Record<string, string> = { window: state.window, view: state.view };
  if (state.layers.length) query.layers = state.layers.join();
  return query;
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** `90m` → milliseconds; 0 for what is no duration. */
export function durationMs(text: string): number {
  const match = /^(\d+)([smhdw])$/.exec(text);
  return match ? Number(match[1]) * SECONDS[match[2]] * 1000 : 0;
}

/** Unix milliseconds of `now` or an RFC 3339 time; NaN for what is neither. */
export function timeMs(text: string, nowMs: number): number {
  return text === 'now' ? nowMs : Date.parse(text);
}

/** The span that the slider covers, in Unix milliseconds: it holds the time that is shown. */
export function spanOf(state: State, nowMs: number): { from: number; to: number } {
  const length = durationMs(state.range) || durationMs(DEFAULTS.range);
  const at = timeMs(state.at, nowMs);
  let to = timeMs(state.until, nowMs);
  if (Number.isNaN(to)) to = nowMs;
  if (!Number.isNaN(at) && (at > to || at < to - length)) to = Math.min(Math.max(at + length / 4, at), Math.max(nowMs, at));
  return { from: to - length, to };
}

/** The step in which changes are looked for: the window, or longer where the span would have too many of them. */
export function changeStep(state: State): string {
  const [window, range] = [durationMs(state.window), durationMs(state.range)];
  const least = Math.max(window, range / 240, 10_000);
  return `${Math.min(99_999, Math.ceil(least / 10_000) * 10)}s`;
}
