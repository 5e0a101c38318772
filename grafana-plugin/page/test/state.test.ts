import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addSeries } from '../src/details.ts';
import { eventsOf } from '../src/lists.ts';
import { Pins } from '../src/pins.ts';
import { changeStep, DEFAULTS, durationMs, parseState, spanOf, stateQuery } from '../src/state.ts';
import { changesOf, nextChange, timelineOf } from '../src/timebar.ts';
import { ago, axisTicks, axisTime, formatTime, rfc3339 } from '../src/times.ts';

const NOON = Date.parse('2026-03-01T12:00:00Z');

test('a shared address gives the same state, and defaults are not in it', () => {
  const state = { ...DEFAULTS, at: '2026-03-01T12:00:00Z', layers: ['network', 'trace'] as const, depth: 3, focus: 'shop/a b&c', panel: 'events' as const };
  assert.deepEqual(parseState(`?${stateQuery(state)}`), state);
  assert.equal(stateQuery(DEFAULTS), '');
});

test('what is no choice is left at its default', () => {
  assert.deepEqual(parseState('?mode=magic&depth=many&layers=none&colour=pink&view=hops&other=1'), { ...DEFAULTS, view: 'hops' });
  assert.equal(parseState('?depth=5000').depth, 100);
});

test('the slider covers the time that is shown, also far in the past', () => {
  for (const at of ['now', '2026-03-01T11:30:00Z', '2024-01-01T00:00:00Z']) {
    const { from, to } = spanOf({ ...DEFAULTS, at }, NOON);
    const shown = at === 'now' ? NOON : Date.parse(at);
    assert.ok(from <= shown && shown <= to, at);
    assert.equal(to - from, 3_600_000);
  }
  const held = spanOf({ ...DEFAULTS, at: '2026-02-01T10:20:00Z', until: '2026-02-01T11:00:00Z' }, NOON);
  assert.equal(rfc3339(held.to), '2026-02-01T11:00:00Z');
  assert.ok(Number.isFinite(spanOf({ ...DEFAULTS, at: 'nonsense', until: 'nonsense', range: 'x' }, NOON).from));
});

test('changes are looked for in steps of the window, or longer ones when there would be too many', () => {
  assert.equal(changeStep({ ...DEFAULTS, window: '5m', range: '6h' }), '300s');
  assert.equal(durationMs(changeStep({ ...DEFAULTS, window: '1m', range: '30d' })), (30 * 86_400_000) / 240);
});

const TIMELINE = timelineOf({
  step_seconds: 60,
  time: [0, 1, 2, 3, 4, 5].map((minute) => rfc3339(NOON + minute * 60_000)),
  calls: [0, 5, 5, 5, 0, 5],
  errors: [0, 0, 1, 0, 0, 0],
  added: [0, 9, 1, 0, 0, 9],
  removed: [0, 0, 0, 2, null, 0],
});

test('neither the first data nor a gap is a change; steps go from one to the next', () => {
  const changes = changesOf(TIMELINE);
  assert.deepEqual(changes.map(({ added, removed }) => [added, removed]), [[1, 0], [0, 2]]);
  assert.equal(nextChange(changes, NOON, true), NOON + 180_000);
  assert.equal(nextChange(changes, NOON + 180_000, true), NOON + 240_000);
  assert.equal(nextChange(changes, NOON + 240_000, true), null);
  assert.equal(nextChange(changes, NOON + 240_000, false), NOON + 180_000);
});

test('series of several edges add up; latency is weighted by calls', () => {
  const answer = (calls: number[], mean: (number | null)[]): unknown => ({
    time: [rfc3339(NOON), rfc3339(NOON + 60_000)],
    step_seconds: 60,
    evidence: { trace: { calls, errors: [0, 1], calls_per_second: calls.map((count) => count / 60), latency_ms: { mean } } },
  });
  const sum = addSeries([answer([60, 30], [10, 10]), answer([180, 0], [20, null])], NOON + 60_000, '');
  assert.deepEqual(sum.calls, [4, 0.5]);
  assert.deepEqual(sum.latencyMs, [17.5, 10]);
  assert.equal(sum.shownAt, 0.5);
  assert.deepEqual(sum.bytes, [null, null]);
});

test('events are dependencies or what somebody told of, the latest first', () => {
  const events = eventsOf({ events: [
    { id: 'a', type: 'new_dependency', time: rfc3339(NOON), edge: { id: 'e1', source: 'x', target: 'y' } },
    { id: 'b', type: 'deployment', time: rfc3339(NOON + 1000), edge: null, service: 'shop/cart', title: 'v2' },
  ] });
  assert.deepEqual(events.map(({ id, title, subject, told }) => [id, title, subject, told]), [['b', 'v2 · shop/cart', 'shop/cart', true], ['a', 'x → y', 'e1', false]]);
});

test('pins are kept by grouping, and a broken memory does no harm', () => {
  const kept = new Map<string, string>();
  const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) } as unknown as Storage;
  new Pins(storage).set('', 'a', 1.4, 2);
  const pins = new Pins(storage);
  assert.deepEqual([...pins.over('', new Map([['a', [9, 9]], ['b', [3, 3]]]))], [['a', [1, 2]], ['b', [3, 3]]]);
  assert.equal(pins.over('namespace', new Map([['a', [9, 9]]])).get('a')?.[0], 9);
  pins.clear('');
  assert.equal(new Pins(storage).count(''), 0);
  kept.set('chronotope.pins', '{broken');
  assert.equal(new Pins(storage).count(''), 0);
});

test('times are in UTC, on round ticks', () => {
  assert.equal(formatTime(NOON), '2026-03-01 12:00:00');
  assert.deepEqual(axisTicks(NOON + 1, NOON + 3_600_000, 6).map((ms) => axisTime(ms, 3_600_000)), ['12:10', '12:20', '12:30', '12:40', '12:50', '13:00']);
  assert.equal(ago(NOON - 5 * 3_600_000, NOON), '5 h ago');
});
