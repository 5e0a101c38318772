/**
 * How an edge looks for what was measured of it. Every look is one of a few styles, so that thousands of edges are drawn
 * as a few paths.
 */

import { headline, volume } from './graph.ts';
import type { Graph, GraphEdge, Layer } from './graph.ts';
import type { Theme } from './theme.ts';

export type ColourBy = 'errors' | 'latency' | 'rate' | 'layers' | 'status' | 'value';

export interface Style {
  readonly colour: string;
  /** Screen pixels. */
  readonly width: number;
  readonly alpha: number;
  readonly dash: readonly number[];
  /** Busy and prominent styles are drawn last. */
  readonly rank: number;
}

/** One line to draw: an edge, or one layer's line of it, `shift` pixels beside its middle. */
export interface EdgeLine {
  readonly edge: number;
  readonly style: Style;
  readonly shift: number;
}

const WIDTHS = [1.1, 1.6, 2.3, 3.2, 4.4];
const DASHED = [6, 4];
const REMOVED = [3, 4];
export const ERROR_STEPS = [0.001, 0.01, 0.05];
export const LATENCY_STEPS = [10, 50, 200, 1000];

/** Which of `steps` rising bounds a value has reached: 0 is below all. */
export function stepOf(value: number, steps: readonly number[]): number {
  let step = 0;
  while (step < steps.length && value >= steps[step]) step++;
  return step;
}

/** The lines of a graph. Widths are by how an edge's traffic stands among all of this graph, on a logarithmic scale. */
export function edgeLinesOf(graph: Graph, colourBy: ColourBy, theme: Theme): EdgeLine[] {
  const styles = new Map<string, Style>();
  const scale = widthScale(graph);
  // The more edges there are, the fainter the quiet ones: else a thousand of them are one grey plane.
  const faint = Math.min(0.9, Math.max(0.14, 9 / Math.sqrt(graph.edges.length + 1)));
  const edgeLines: EdgeLine[] = [];
  const add = (edge: number, colour: string, shift: number, prominent: boolean): void => {
    const own = graph.edges[edge];
    const step = scale(volume(own));
    const dash = own.status === 'removed' && colourBy === 'status' ? REMOVED : own.inferred ? DASHED : [];
    const quiet = colourBy === 'status' && own.status === 'unchanged';
    const alpha = prominent ? 0.95 : quiet ? faint * 0.6 : Math.min(0.95, faint + (step / WIDTHS.length) * 0.45);
    const width = Math.max(WIDTHS[step], prominent ? 1.6 : 0);
    const key = `${colour} ${width} ${alpha} ${dash.join()}`;
    const style = styles.get(key) ?? { colour, width, alpha, dash, rank: step + (prominent ? WIDTHS.length : 0) };
    styles.set(key, style);
    edgeLines.push({ edge, style, shift });
  };
  graph.edges.forEach((edge, at) => {
    if (colourBy === 'layers') {
      const many = edge.layers.length;
      edge.layers.forEach((layer, lane) => add(at, theme.layers[layer], (lane - (many - 1) / 2) * 3.5, false));
    } else add(at, ...colourOf(edge, colourBy, theme));
  });
  return edgeLines;
}

/** Colour of an edge, its shift beside the middle, and whether it tells something that must be seen. */
function colourOf(edge: GraphEdge, colourBy: ColourBy, theme: Theme): [string, number, boolean] {
  const own = headline(edge);
  if (colourBy === 'status') {
    const status = edge.status ?? 'unchanged';
    return [theme.status[status], 0, status !== 'unchanged'];
  }
  if (colourBy === 'value') return [edge.shown?.colour ?? theme.edge, 0, false];
  if (colourBy === 'errors' && own?.errorRatio) {
    const step = stepOf(own.errorRatio, ERROR_STEPS);
    return [theme.errors[step], 0, step > 1];
  }
  if (colourBy === 'latency' && own && own.latencyMs !== null) {
    return [theme.latency[stepOf(own.latencyMs, LATENCY_STEPS)], 0, false];
  }
  return [theme.edge, 0, false];
}

function widthScale(graph: Graph): (value: number) => number {
  const logs = graph.edges.map(volume).filter((value) => value > 0).map(Math.log);
  const [low, high] = logs.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  // Less than a factor of four between the least and the most is all the same width: there is nothing to tell.
  const range = Math.max(high - low, Math.log(4));
  return (value) => {
    if (!(value > 0)) return 0;
    const share = high - low < Math.log(4) ? 0.35 : (Math.log(value) - low) / range;
    return Math.min(WIDTHS.length - 1, Math.floor(share * WIDTHS.length));
  };
}

/** One line of a legend. */
export interface LegendItem {
  readonly colour: string;
  readonly label: string;
  readonly dash: readonly number[];
}

/** What the colours of edges mean. */
export function edgeLegend(colourBy: ColourBy, theme: Theme, layers: readonly Layer[]): LegendItem[] {
  const line = (colour: string, label: string, dash: readonly number[] = []): LegendItem => ({ colour, label, dash });
  if (colourBy === 'status') {
    const { added, removed, changed, unchanged } = theme.status;
    return [
      line(added, 'added'),
      line(removed, 'removed', REMOVED),
      line(changed, 'changed'),
      line(unchanged, 'unchanged'),
    ];
  }
  if (colourBy === 'layers') return layers.map((layer) => line(theme.layers[layer], layer));
  if (colourBy === 'errors') {
    const [none, few, some, many] = theme.errors;
    return [line(none, '< 0.1 % errors'), line(few, '< 1 %'), line(some, '< 5 %'), line(many, '≥ 5 %')];
  }
  if (colourBy === 'latency') {
    const labels = ['< 10 ms', '< 50 ms', '< 200 ms', '< 1 s', '≥ 1 s'];
    return theme.latency.map((colour, at) => line(colour, labels[at]));
  }
  return [line(theme.edge, 'wider: more calls')];
}
