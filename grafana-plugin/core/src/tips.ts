/** What the tip under the pointer says. Pure. */

import { doubtOf, formatBytes, formatLatency, formatNumber, formatRate, formatShare } from './format.ts';
import type { GraphEdge, GraphNode, Measures } from './graph.ts';
import type { Tip, TipLine } from './overlay.ts';

export function tipOfNode(node: GraphNode, callers: number, callees: number): Tip {
  const lines = [line('kind', node.kind)];
  if (node.members !== undefined) lines.push(line('services', String(node.members)));
  if (node.status && node.status !== 'unchanged') lines.push(line('status', node.status));
  lines.push(line('callers', String(callers)), line('callees', String(callees)));
  if (node.callsPerSecond !== null) lines.push(line('in', formatRate(node.callsPerSecond)));
  if (node.errorRatio) lines.push(line('errors', formatShare(node.errorRatio)));
  if (node.layers.length) lines.push(line('seen by', node.layers.join(', ')));
  return { title: node.id, lines };
}

export function tipOfEdge(edge: GraphEdge): Tip {
  const lines = [line('protocol', edge.protocol || 'not known')];
  if (edge.status && edge.status !== 'unchanged') lines.push(line('status', edge.status));
  for (const layer of edge.layers) {
    const own = edge.measures[layer] ?? edge.before?.[layer];
    if (own) lines.push(line(layer, describeMeasures(own)));
  }
  for (const { layer, measure, before, after } of edge.changes ?? []) {
    lines.push(line(`${layer} ${measure.replaceAll('_', ' ')}`, `${formatNumber(before)} → ${formatNumber(after)}`));
  }
  if (edge.via.length) lines.push(line('via', edge.via.join(' → ')));
  if (doubtOf(edge)) lines.push(line('doubt', doubtOf(edge)));
  return { title: `${edge.source} → ${edge.target}`, lines };
}

/** Measures of one layer in one line. */
export function describeMeasures(own: Measures): string {
  const parts = [formatRate(own.callsPerSecond), formatBytes(own.bytesPerSecond || null)];
  if (own.errorRatio) parts.push(`${formatShare(own.errorRatio)} errors`);
  if (own.latencyMs !== null) parts.push(formatLatency(own.latencyMs));
  if (own.callsPerSecond === null && own.connections) parts.push(`${formatNumber(own.connections)} connections`);
  return parts.filter(Boolean).join(' · ') || 'seen, nothing counted';
}

function line(name: string, value: string): TipLine {
  return { name, value };
}
