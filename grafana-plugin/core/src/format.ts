/** Numbers for people: three digits, a unit, never more precise than was measured. */

import { headline } from './graph.ts';
import type { GraphEdge, GraphNode } from './graph.ts';

const STEPS: readonly [number, string][] = [
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
];

/** 12345 → `12.3k`; 0.5 → `0.5`; null → an empty text. */
export function formatNumber(value: number | null, digits = 3): string {
  if (value === null) return '';
  const size = Math.abs(value);
  const [factor, letter] = STEPS.find(([least]) => size >= least) ?? [1, ''];
  return `${Number((value / factor).toPrecision(digits))}${letter}`;
}

/** Calls per second; below one in a while, per minute reads better. */
export function formatRate(perSecond: number | null): string {
  if (perSecond === null) return '';
  return perSecond > 0 && perSecond < 0.1 ? `${formatNumber(perSecond * 60)}/min` : `${formatNumber(perSecond)}/s`;
}

/** 0.0123 → `1.23 %`. */
export function formatShare(share: number | null): string {
  return share === null ? '' : `${formatNumber(share * 100)} %`;
}

/** 8.13 → `8.13 ms`; 1500 → `1.5 s`. */
export function formatLatency(ms: number | null): string {
  if (ms === null) return '';
  return ms >= 1000 ? `${formatNumber(ms / 1000)} s` : `${formatNumber(ms)} ms`;
}

/** 1536 → `1.5 KiB/s`. */
export function formatBytes(perSecond: number | null): string {
  if (perSecond === null) return '';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = perSecond < 1 ? 0 : Math.min(Math.floor(Math.log2(perSecond) / 10), units.length - 1);
  return `${Number((perSecond / 1024 ** power).toPrecision(3))} ${units[power]}/s`;
}

export type EdgeLabel = 'none' | 'rate' | 'errors' | 'latency' | 'protocol' | 'value';

/** What an edge's label says. */
export function edgeLabel(edge: GraphEdge, choice: EdgeLabel): string {
  const own = headline(edge);
  if (choice === 'protocol') return edge.protocol;
  if (choice === 'value') return edge.shown?.text ?? '';
  if (!own || choice === 'none') return '';
  if (choice === 'errors') return own.errorRatio ? formatShare(own.errorRatio) : '';
  if (choice === 'latency') return formatLatency(own.latencyMs);
  return own.callsPerSecond === null ? formatBytes(own.bytesPerSecond) : formatRate(own.callsPerSecond);
}

/** A node in one sentence, for screen readers and titles. */
export function describeNode(node: GraphNode, callers: number, callees: number): string {
  const parts = [`${node.id}, ${node.kind}`];
  if (node.members !== undefined) parts.push(`${node.members} services`);
  if (node.status && node.status !== 'unchanged') parts.push(node.status);
  parts.push(`${callers} ${callers === 1 ? 'caller' : 'callers'}, ${callees} ${callees === 1 ? 'callee' : 'callees'}`);
  if (node.callsPerSecond !== null) parts.push(`${formatRate(node.callsPerSecond)} in`);
  if (node.errorRatio) parts.push(`${formatShare(node.errorRatio)} errors`);
  return parts.join(', ');
}

/** What may be wrong of an edge: that it is there, or, where it was seen, which end calls. Empty: nothing. */
export function doubtOf(edge: GraphEdge): string {
  if (!edge.inferred && edge.confidence >= 1) return '';
  return `${edge.inferred ? 'inferred' : 'direction guessed'}, confidence ${formatNumber(edge.confidence, 2)}`;
}

/** An edge in one sentence. */
export function describeEdge(edge: GraphEdge): string {
  const parts = [`${edge.source} calls ${edge.target}`];
  if (edge.protocol) parts.push(edge.protocol);
  if (edge.status && edge.status !== 'unchanged') parts.push(edge.status);
  for (const choice of ['rate', 'errors', 'latency'] as const) {
    const text = edgeLabel(edge, choice);
    if (text) parts.push(choice === 'errors' ? `${text} errors` : text);
  }
  if (edge.via.length) parts.push(`via ${edge.via.join(', ')}`);
  if (doubtOf(edge)) parts.push(doubtOf(edge));
  parts.push(`seen by ${edge.layers.join(', ') || 'no layer'}`);
  return parts.join(', ');
}
