import { atNextChange, bucketAt, extentOf, moved, shareOf } from '../slider';

const TIMELINE = { time: [0, 10, 20, 30, 40], edges: [1, 1, 2, 2, 1], changes: [0, 0, 1, 0, 1], stepMs: 10 };
const EXTENT = extentOf(TIMELINE);

describe('the slider', () => {
  it('covers all buckets', () => expect(EXTENT).toEqual({ from: 0, to: 50 }));

  it('moves a window, never out of what is known, always of one length', () => {
    expect(moved({ from: 10, to: 20 }, 15, EXTENT)).toEqual({ from: 25, to: 35 });
    expect(moved({ from: 10, to: 20 }, 500, EXTENT)).toEqual({ from: 40, to: 50 });
    expect(moved({ from: 10, to: 20 }, -500, EXTENT)).toEqual({ from: 0, to: 10 });
    expect(moved({ from: 0, to: 80 }, -500, EXTENT)).toEqual({ from: -30, to: 50 });
  });

  it('steps to where a change has just become visible', () => {
    expect(atNextChange({ from: 0, to: 10 }, TIMELINE, 1)).toEqual({ from: 20, to: 30 });
    expect(atNextChange({ from: 20, to: 30 }, TIMELINE, 1)).toEqual({ from: 40, to: 50 });
    expect(atNextChange({ from: 40, to: 50 }, TIMELINE, 1)).toBeNull();
    expect(atNextChange({ from: 40, to: 50 }, TIMELINE, -1)).toEqual({ from: 20, to: 30 });
  });

  it('knows where an instant is', () => {
    expect([shareOf(25, EXTENT), shareOf(-5, EXTENT), shareOf(99, EXTENT)]).toEqual([0.5, 0, 1]);
    expect([bucketAt(TIMELINE, 0), bucketAt(TIMELINE, 49), bucketAt(TIMELINE, 50), bucketAt(TIMELINE, -1)]).toEqual([0, 4, -1, -1]);
  });
});
