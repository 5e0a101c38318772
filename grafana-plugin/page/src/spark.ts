/** Small curves over time, with the time shown marked. */

import { svg } from './dom.ts';

/** A curve of values, null where there is none; its scale starts at 0. */
export function spark(values: readonly (number | null)[], shownAt: number, label: string, kind = 'line'): SVGSVGElement {
  const [width, height] = [300, 44];
  const known = values.filter((value) => value !== null);
  const most = Math.max(...known, 0) || 1;
  const x = (at: number): number => (values.length > 1 ? (at / (values.length - 1)) * width : width / 2);
  const y = (value: number): number => height - 3 - (value / most) * (height - 8);
  let path = '';
  let pen = false;
  values.forEach((value, at) => {
    if (value !== null) path += `${pen ? 'L' : 'M'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = value !== null;
  });
  const picture = svg('svg', { class: `spark ${kind}`, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label, preserveAspectRatio: 'none' });
  if (shownAt >= 0 && shownAt <= 1) picture.append(svg('line', { class: 'hand', x1: shownAt * width, x2: shownAt * width, y1: 0, y2: height }));
  picture.append(svg('path', { d: path, 'vector-effect': 'non-scaling-stroke' }));
  return picture;
}
