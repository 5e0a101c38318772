/** What shapes and colours mean: of what the drawing has, no more. */

import { edgeLegend, ICONS, KINDS, LAYERS, OUTLINES } from '@chronotope/core';
import type { ColourBy, Graph, Kind, Theme } from '@chronotope/core';
import { h, svg } from './dom.ts';

const TITLES: Readonly<Record<ColourBy, string>> = {
  errors: 'Errors',
  latency: 'Latency',
  rate: 'Calls',
  layers: 'Layers',
  status: 'Changes',
  value: 'Values',
};

export function legendOf(graph: Graph, colourBy: ColourBy, theme: Theme): HTMLElement[] {
  const kinds = KINDS.filter((kind) => graph.nodes.some((node) => node.kind === kind));
  const layers = LAYERS.filter((layer) => graph.edges.some((edge) => edge.layers.includes(layer)));
  const lines = edgeLegend(colourBy, theme, layers).map(({ colour, label, dash }) =>
    row(svg('svg', { width: 24, height: 10, 'aria-hidden': 'true' }, svg('path', { d: 'M1 5H23', stroke: colour, 'stroke-width': 3, 'stroke-dasharray': dash.join(' ') })), label),
  );
  if (graph.edges.some((edge) => edge.inferred)) {
    lines.push(row(svg('svg', { width: 24, height: 10, 'aria-hidden': 'true' }, svg('path', { d: 'M1 5H23', stroke: theme.edge, 'stroke-width': 2, 'stroke-dasharray': '6 4' })), 'inferred'));
  }
  if (graph.edges.some((edge) => edge.via.length)) {
    lines.push(row(svg('svg', { width: 24, height: 12, 'aria-hidden': 'true' }, svg('path', { d: 'M12 1l5 5-5 5-5-5z', fill: theme.kinds.intermediary })), 'passes an intermediary'));
  }
  return [
    h('section', {}, h('h3', {}, 'Services'), ...kinds.map((kind) => row(picture(kind, theme, colourBy), kind))),
    h('section', {}, h('h3', {}, TITLES[colourBy]), ...lines),
  ];
}

function row(picture: Element, text: string): HTMLElement {
  return h('div', { class: 'row' }, picture, text);
}

/** A kind's shape as the drawing has it: the same paths, on a canvas of its own. */
export function picture(kind: Kind, theme: Theme, colourBy: ColourBy = 'errors'): HTMLCanvasElement {
  const canvas = h('canvas', { width: 48, height: 44, class: 'kind', 'aria-hidden': 'true' });
  const context = canvas.getContext('2d');
  if (!context) return canvas;
  const [outline, icon] = [new Path2D(), new Path2D()];
  OUTLINES[kind](outline, 24, 22, 17);
  ICONS[kind](icon, 24, 22, 17);
  context.fillStyle = colourBy === 'status' ? theme.muted : theme.kinds[kind];
  context.fill(outline);
  Object.assign(context, { strokeStyle: theme.surface, lineWidth: 2.2, lineCap: 'round', lineJoin: 'round' });
  context.stroke(icon);
  return canvas;
}
