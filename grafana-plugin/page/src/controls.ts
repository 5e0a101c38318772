/** The bar at the top: search, modes, and what is drawn how. Each control changes the state, and shows it. */

import { LAYERS } from '@chronotope/core';
import type { Layer } from '@chronotope/core';
import { choice, h, segments } from './dom.ts';
import type { State } from './state.ts';
import { rfc3339 } from './times.ts';

export type Change = (change: Partial<State>) => void;

const WINDOWS = ['1m', '5m', '15m', '1h', '6h', '24h'].map((text) => [text, text] as const);
const HERE = 'here';
const BEFORES = [['-1h', '1 hour before'], ['-6h', '6 hours before'], ['-1d', 'a day before'], ['-7d', 'a week before']] as const;

/** Whether to compare, and with what. */
export function modeControls(state: State, shownMs: number, change: Change): HTMLElement[] {
  const mode = segments('What is shown', [['graph', 'Topology'], ['diff', 'Compare']], state.mode, (value) => change({ mode: value as State['mode'] }));
  if (state.mode === 'graph') return [mode];
  const own = BEFORES.some(([value]) => value === state.before) ? BEFORES : ([...BEFORES, [state.before, spokenBefore(state.before)]] as const);
  const chosen = (value: string): void => change({ before: value === HERE ? rfc3339(shownMs) : value });
  return [mode, choice('with', 'before', [...own, [HERE, 'the time shown now']], state.before, chosen)];
}

/** `-30m` or a time, for people. */
function spokenBefore(before: string): string {
  return /^-\d+[a-z]$/.test(before) ? `${before.slice(1)} before` : before.slice(0, 19).replace('T', ' ');
}

/** How it is drawn. */
export function lookControls(state: State, groupings: readonly string[], change: Change): HTMLElement[] {
  const pick = (layer: Layer): HTMLElement => {
    const shown = state.layers.length === 0 || state.layers.includes(layer);
    const box = h('input', {
      type: 'checkbox',
      name: `layer-${layer}`,
      checked: shown,
      onchange: () => {
        const all = LAYERS.filter((own) => (own === layer ? box.checked : state.layers.length === 0 || state.layers.includes(own)));
        change({ layers: all.length === LAYERS.length ? [] : all.length ? all : [layer] });
      },
    });
    return h('label', { class: 'tick' }, box, layer);
  };
  return [
    choice('Window', 'window', WINDOWS, state.window, (window) => change({ window })),
    state.mode === 'diff'
      ? h('span', { class: 'choice' }, h('span', {}, 'Colour'), 'by what changed')
      : choice('Colour', 'colour', [['errors', 'by errors'], ['latency', 'by latency'], ['rate', 'none: width only'], ['layers', 'by layer']], state.colour, (colour) => change({ colour: colour as State['colour'] })),
    choice('Edge labels', 'label', [['none', 'none'], ['rate', 'rate'], ['errors', 'errors'], ['latency', 'latency'], ['protocol', 'protocol']], state.label, (label) => change({ label: label as State['label'] })),
    choice('Group by', 'group', [['', 'nothing'], ...groupings.map((key) => [key, key] as const)], state.group, (group) => change({ group, focus: '', select: '' })),
    choice('Hops', 'view', [['resolved', 'service to service'], ['hops', 'every hop as seen']], state.view, (view) => change({ view: view as State['view'] })),
    h('fieldset', {}, h('legend', {}, 'Layers'), ...LAYERS.map(pick)),
  ];
}

/** What narrows the graph now, each with a way to undo it. */
export function filterControls(state: State, change: Change): HTMLElement[] {
  const chip = (text: string, undo: Partial<State>, ...more: HTMLElement[]): HTMLElement =>
    h('div', { class: 'chip' }, h('span', {}, text), ...more, h('button', { type: 'button', 'aria-label': `Remove ${text}`, onclick: () => change(undo) }, '×'));
  const chips: HTMLElement[] = [];
  if (state.focus) {
    const depth = choice('hops', 'depth', ['1', '2', '3', '5'].map((n) => [n, n]), String(state.depth), (value) => change({ depth: Number(value) }));
    const direction = choice('to', 'direction', [['both', 'callers and callees'], ['upstream', 'callers'], ['downstream', 'callees']], state.direction, (value) => change({ direction: value as State['direction'] }));
    chips.push(chip(`around ${state.focus}`, { focus: '', depth: 1, direction: 'both' }, depth, direction));
  }
  if (state.namespace) chips.push(chip(`namespace ${state.namespace}`, { namespace: '' }));
  if (state.layers.length) chips.push(chip(`only seen by ${state.layers.join(', ')}`, { layers: [] }));
  return chips;
}
