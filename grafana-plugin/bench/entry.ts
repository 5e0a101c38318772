/** What the benchmark's page runs: one view, and a graph of any size. */

import { graphFromApi, TopologyView } from '@chronotope/core';
import type { Positions } from '@chronotope/core';

interface Sample {
  readonly answer: unknown;
  readonly positions: readonly (readonly [string, number, number])[];
}

declare global {
  interface Window {
    bench: {
      firstDrawing(sample: Sample): Promise<number>;
      moving(move: 'pan' | 'zoom', count: number): Promise<{ own: number[]; whole: number[]; rest: number }>;
    };
  }
}

let view: TopologyView | undefined;

const nextFrame = (): Promise<number> => new Promise((done) => requestAnimationFrame(done));

/** Milliseconds from the answer's text to the end of the frame that shows it. */
async function firstDrawing({ answer, positions }: Sample): Promise<number> {
  view?.destroy();
  const host = document.getElementById('host');
  if (!host) throw new Error('the page has no host');
  const text = JSON.stringify(answer);
  view = new TopologyView(host, { edgeLabel: 'none' });
  const drawn = new Promise<void>((done) => view?.on('frame', () => done()));
  const began = performance.now();
  const places: Positions = new Map(positions.map(([id, x, y]) => [id, [x, y]]));
  view.setGraph(graphFromApi(JSON.parse(text)), places);
  await drawn;
  await nextFrame(); // the frame after: the picture is on its way to the screen
  return performance.now() - began;
}

/** Move the picture for some frames: our own work in each, the time from frame to frame, and our work when it rests. */
async function moving(move: 'pan' | 'zoom', count: number): Promise<{ own: number[]; whole: number[]; rest: number }> {
  const own: number[] = [];
  const whole: number[] = [];
  const resting: number[] = [];
  const stop = view?.on('frame', (frame) => void (frame.moving ? own : resting).push(frame.ms));
  let before = await nextFrame();
  for (let at = 0; at < count; at++) {
    if (move === 'pan') view?.panBy(at % 40 < 20 ? 12 : -12, 3);
    else view?.zoomBy(at % 40 < 20 ? 1.06 : 1 / 1.06);
    const now = await nextFrame();
    whole.push(now - before);
    before = now;
  }
  while (!resting.length) await nextFrame();
  stop?.();
  return { own, whole, rest: resting[0] };
}

window.bench = { firstDrawing, moving };
