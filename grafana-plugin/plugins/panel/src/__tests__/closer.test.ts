/** A neighbourhood in a large graph is drawn closer, and its services stay where they are while it is looked at. */

import { act, renderHook } from '@testing-library/react';

import type { Graph, GraphNode, Positions } from '../../../../core/src/index.ts';
import { useCloser } from '../hooks/useCloser';

const graphOf = (...ids: string[]) => ({ nodes: ids.map((id) => ({ id }) as GraphNode), edges: [] }) as Graph;
const WHOLE: Positions = new Map([['a', [0, 0]], ['b', [9500, 3800]], ['c', [4750, -3800]]]); // prettier-ignore

describe('a neighbourhood', () => {
  const start = () =>
    renderHook(({ graph, name }) => useCloser(graph, WHOLE, name), { initialProps: { graph: graphOf('a', 'b'), name: '' } });

  it('is drawn closer, and again as it was when it is left', () => {
    const { result, rerender } = start();
    expect(result.current).toEqual({ positions: WHOLE, move: null });
    rerender({ graph: graphOf('a', 'b'), name: 'a 1' });
    const [[ax, ay], [bx, by]] = [result.current.positions!.get('a')!, result.current.positions!.get('b')!];
    expect(Math.hypot(ax - bx, ay - by)).toBeLessThan(400);
    expect(ax).toBeLessThan(bx);
    rerender({ graph: graphOf('a', 'b'), name: '' });
    expect(result.current.positions).toBe(WHOLE);
  });

  it('keeps its places when time shows others, and what was moved', () => {
    const { result, rerender } = start();
    rerender({ graph: graphOf('a', 'b'), name: 'a 1' });
    const { positions, move } = result.current;
    rerender({ graph: graphOf('a', 'c'), name: 'a 1' });
    expect(result.current.positions).toBe(positions);
    act(() => move!('a', 5, 6));
    expect(result.current.positions!.get('a')).toEqual([5, 6]);
    expect(result.current.positions!.get('b')).toEqual(positions!.get('b'));
  });
});
