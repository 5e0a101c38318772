/** The frames of columns over time: the timeline, and one edge's measures. */

import { FieldType, createDataFrame } from '@grafana/data';
import type { DataFrame, Field, FieldConfig } from '@grafana/data';

type Json = Readonly<Record<string, unknown>>;

const COUNTS = ['nodes', 'edges', 'added', 'removed', 'calls', 'errors'];

/** One time column and a column for each count. `step` is in the frame's meta, in milliseconds. */
export function timelineFrame(answer: Json, refId: string): DataFrame {
  const stepMs = Number(answer.step_seconds) * 1000;
  return createDataFrame({
    name: 'timeline',
    refId,
    meta: { preferredVisualisationType: 'graph', custom: { chronotope: { stepMs } } },
    fields: [
      timeField(answer.time),
      ...COUNTS.map((name) => numberField(name, answer[name], { displayName: name, unit: 'short' })),
    ],
  });
}

const MEASURES: ReadonlyArray<readonly [path: string, displayName: string, unit: string]> = [
  ['calls_per_second', 'calls', 'reqps'],
  ['error_ratio', 'errors', 'percentunit'],
  ['latency_ms.mean', 'latency mean', 'ms'],
  ['latency_ms.p50', 'latency p50', 'ms'],
  ['latency_ms.p95', 'latency p95', 'ms'],
  ['latency_ms.p99', 'latency p99', 'ms'],
  ['connections', 'connections', 'short'],
  ['failed_connections', 'failed connections', 'short'],
  ['bytes_sent', 'bytes sent', 'bytes'],
  ['bytes_received', 'bytes received', 'bytes'],
  ['retransmits', 'retransmits', 'short'],
  ['rtt_ms.mean', 'round trip', 'ms'],
];

/** One frame a layer, each measure a field; a measure that the layer does not have at all is left out. */
export function edgeFrames(answer: Json, refId: string): DataFrame[] {
  const time = timeField(answer.time);
  const name = `${answer.source} → ${answer.target}`;
  return Object.entries((answer.evidence ?? {}) as Json).map(([layer, columns]) => {
    const found = MEASURES.map(([path, label, unit]) => [path, label, unit, columnAt(columns as Json, path)] as const);
    const present = found.filter(([, , , values]) => values?.some((value) => value !== null && value !== 0));
    return createDataFrame({
      name: `${name} · ${layer}`,
      refId,
      meta: { preferredVisualisationType: 'graph' },
      fields: [
        time,
        ...present.map(([path, label, unit, values]) => ({
          ...numberField(path, values, { displayName: `${layer} ${label}`, unit }),
          labels: { layer, source: String(answer.source), target: String(answer.target) },
        })),
      ],
    });
  });
}

function columnAt(columns: Json, path: string): unknown[] | undefined {
  const found = path.split('.').reduce<unknown>((inner, key) => (inner as Json | undefined)?.[key], columns);
  return Array.isArray(found) ? found : undefined;
}

function timeField(times: unknown): Field {
  const values = (Array.isArray(times) ? times : []).map((text) => Date.parse(String(text)));
  return { name: 'time', type: FieldType.time, config: {}, values };
}

function numberField(name: string, values: unknown, config: FieldConfig): Field {
  return { name, type: FieldType.number, config, values: Array.isArray(values) ? values : [] };
}
