import { requestOf } from '../request';
import { durationMs, durationText, spanAround } from '../times';

const HOUR = 3_600_000;
const RANGE = { from: Date.UTC(2026, 0, 5, 10), to: Date.UTC(2026, 0, 5, 11) };
const NOW = Date.UTC(2026, 0, 5, 12);

describe('a query becomes a request', () => {
  it('asks for the graph of the dashboard’s time', () => {
    const { path, parameters } = requestOf({ refId: 'A', queryType: 'graph', namespace: 'shop' }, RANGE, [], NOW);
    expect(path).toBe('graph');
    expect(parameters).toEqual({
      from: '2026-01-05T10:00:00.000Z',
      to: '2026-01-05T11:00:00.000Z',
      namespace: 'shop',
      measures: 'full',
    });
  });

  it('asks for a difference of two windows as long as the dashboard’s', () => {
    const { path, parameters } = requestOf({ refId: 'A', queryType: 'graph', compare: '-1d' }, RANGE, [], NOW);
    expect(path).toBe('diff');
    expect(parameters).toMatchObject({ before: '-1d', after: '2026-01-05T11:00:00.000Z', window: '3600s' });
  });

  it('names depth and direction only with a focus', () => {
    const base = { refId: 'A', queryType: 'graph' as const, depth: 2, direction: 'upstream' as const };
    expect(requestOf(base, RANGE, [], NOW).parameters).not.toHaveProperty('depth');
    expect(requestOf({ ...base, focus: 'a/b' }, RANGE, [], NOW).parameters).toMatchObject({ focus: 'a/b', depth: '2' });
  });

  it('lets ad hoc filters go before the query’s own, alternatives joined', () => {
    const filters = ['shop', 'edge'].map((value) => ({ key: 'namespace', operator: '=', value }));
    const { parameters } = requestOf({ refId: 'A', namespace: 'other' }, RANGE, filters, NOW);
    expect(parameters.namespace).toBe('shop,edge');
  });

  it('refuses filters that nothing can answer, and says which', () => {
    const wrong = (key: string, operator: string) => () =>
      requestOf({ refId: 'A' }, RANGE, [{ key, operator, value: 'x' }], NOW);
    expect(wrong('colour', '=')).toThrow(/“colour” is not known.*namespace/);
    expect(wrong('kind', '!=')).toThrow(/kind != x/);
  });

  it('escapes the id of an edge, and wants one', () => {
    expect(requestOf({ refId: 'A', queryType: 'edge', edge: 'a/b' }, RANGE, [], NOW).path).toBe('edges/a%2Fb');
    const { path } = requestOf({ refId: 'A', queryType: 'blastRadius', service: 'shop/cart' }, RANGE, [], NOW);
    expect(path).toBe('services/shop%2Fcart/blast-radius');
    const { parameters } = requestOf({ refId: 'A', queryType: 'paths', source: 'a', target: 'b' }, RANGE, [], NOW);
    expect(parameters).toMatchObject({ source: 'a', target: 'b', from: '2026-01-05T10:00:00.000Z' });
    expect(() => requestOf({ refId: 'A', queryType: 'paths', source: 'a' }, RANGE, [], NOW)).toThrow(/where they end/);
    expect(requestOf({ refId: 'A', queryType: 'cycles' }, RANGE, [], NOW).path).toBe('cycles');
    expect(() => requestOf({ refId: 'A', queryType: 'blastRadius' }, RANGE, [], NOW)).toThrow(/Choose the service/);
    expect(() => requestOf({ refId: 'A', queryType: 'edge' }, RANGE, [], NOW)).toThrow(/Choose an edge/);
  });
});

describe('spans and durations', () => {
  it('puts the range into the middle, but shows no future', () => {
    expect(spanAround(RANGE, '2h', NOW)).toEqual({ from: RANGE.from - HOUR / 2, to: RANGE.to + HOUR / 2 });
    expect(spanAround(RANGE, '6h', NOW)).toEqual({ from: NOW - 6 * HOUR, to: NOW });
    expect(spanAround(RANGE, '10m', NOW)).toEqual(RANGE);
    expect(() => spanAround(RANGE, 'a while', NOW)).toThrow(/“a while” is no duration/);
  });

  it.each([1, 10, 59, 3600, 86_400, 99_999, 100_000, 7 * 86_400, 400 * 86_400, 60 * 365 * 86_400])(
    'writes %d s as a duration that covers it, with at most five digits',
    (seconds) => {
      const text = durationText(seconds * 1000);
      expect(text).toMatch(/^[1-9]\d{0,4}[smhdw]$/);
      const length = durationMs(text)! / 1000;
      expect(length).toBeGreaterThanOrEqual(seconds);
      expect(length).toBeLessThan(seconds * 1.01 + 1);
    }
  );
});
