/** The query editor: what is asked, then only the fields that this question has. */

import React from 'react';

import type { QueryEditorProps } from '@grafana/data';
import { Combobox, InlineField, InlineFieldRow, InlineSwitch, Input } from '@grafana/ui';

import type { TopologyDataSource } from '../datasource';
import { DEFAULT_QUERY } from '../types';
import type { QueryType, TopologyOptions, TopologyQuery } from '../types';

type Props = QueryEditorProps<TopologyDataSource, TopologyQuery, TopologyOptions>;
type TextKey = 'layers' | 'namespace' | 'kind' | 'protocol' | 'search' | 'focus' | 'groupBy' | 'compare' | 'span' | 'edge' | 'service' | 'source' | 'target' | 'eventType';

const TYPES: Array<{ value: QueryType; label: string; description: string }> = [
  { value: 'graph', label: 'Graph', description: 'The topology of the dashboard’s time; or compared with an earlier time' },
  { value: 'timeline', label: 'Timeline', description: 'How many services and edges, what came and went, over time' },
  { value: 'edge', label: 'Edge', description: 'The measures of one edge over time' },
  { value: 'services', label: 'Services', description: 'Services of the dashboard’s time as a table' },
  { value: 'blastRadius', label: 'Blast radius', description: 'Who depends on a service, how far away, and how much' },
  { value: 'paths', label: 'Paths', description: 'How calls get from one service to another, the shortest way first' },
  { value: 'cycles', label: 'Cycles', description: 'Services that call each other in circles' },
  { value: 'singlePoints', label: 'Single points', description: 'Services without which others cannot be reached' },
  { value: 'events', label: 'Events', description: 'New, vanished and returned dependencies; deployments' },
];

interface TextField {
  readonly label: string;
  readonly tooltip: string;
  readonly placeholder: string;
}

const FIELDS: Readonly<Record<TextKey, TextField>> = {
  layers: { label: 'Layers', tooltip: 'Whose evidence counts, comma separated', placeholder: 'network, ipc, trace' },
  namespace: { label: 'Namespace', tooltip: 'Edges with an end in one of these namespaces', placeholder: 'all' },
  kind: { label: 'Kind', tooltip: 'service, database, messaging, external, intermediary, unknown', placeholder: 'all' },
  protocol: { label: 'Protocol', tooltip: 'http, grpc, tcp, …', placeholder: 'all' },
  search: { label: 'Search', tooltip: 'Text in the id of a service', placeholder: '' },
  focus: { label: 'Focus', tooltip: 'Ids of services whose neighbourhood is wanted', placeholder: 'shop/cart' },
  groupBy: { label: 'Group by', tooltip: 'namespace, kind or an attribute such as team', placeholder: 'no groups' },
  compare: { label: 'Compare with', tooltip: 'An earlier time, or how long before: -1h, -1d, -7d', placeholder: 'nothing' },
  span: { label: 'Around', tooltip: 'How much time around the dashboard’s: the slider’s range', placeholder: '6h' },
  edge: { label: 'Edge', tooltip: 'Id of an edge, as the topology panel shows it', placeholder: '$edge' },
  service: { label: 'Service', tooltip: 'Id of a service', placeholder: 'shop/cart' },
  source: { label: 'From', tooltip: 'Id of the service where paths begin', placeholder: 'shop/front' },
  target: { label: 'To', tooltip: 'Id of the service where paths end', placeholder: 'shop/orders-db' },
  eventType: { label: 'Type', tooltip: 'new_dependency, vanished_dependency, …', placeholder: 'all' },
};

const ASKED: Readonly<Record<QueryType, readonly TextKey[]>> = {
  graph: ['layers', 'namespace', 'kind', 'protocol', 'search', 'focus', 'groupBy', 'compare'],
  timeline: ['span', 'layers', 'protocol'],
  edge: ['edge', 'layers'],
  services: ['layers', 'namespace', 'kind', 'search'],
  events: ['service', 'eventType', 'span'],
  blastRadius: ['service', 'layers'],
  paths: ['source', 'target', 'layers'],
  cycles: ['layers'],
  singlePoints: ['layers'],
};
const WITH_VIEW: readonly QueryType[] = ['graph', 'timeline', 'edge', 'services', 'blastRadius', 'paths', 'cycles', 'singlePoints'];

export function QueryEditor({ query: given, onChange, onRunQuery }: Props) {
  const query: TopologyQuery = { ...DEFAULT_QUERY, ...given };
  const type = query.queryType ?? 'graph';
  const change = (part: Partial<TopologyQuery>) => {
    onChange({ ...query, ...part });
    onRunQuery();
  };
  return (
    <>
      <InlineFieldRow>
        <InlineField label="Ask for" labelWidth={14}>
          <Combobox options={TYPES} value={type} width={24} onChange={({ value }) => change({ queryType: value })} />
        </InlineField>
        {WITH_VIEW.includes(type) && (
          <InlineField label="Every hop" tooltip="Show load balancers and proxies as services of their own">
            <InlineSwitch
              value={query.view === 'hops'}
              onChange={() => change({ view: query.view === 'hops' ? 'resolved' : 'hops' })}
            />
          </InlineField>
        )}
        {type === 'graph' && (
          <InlineField label="Latency" tooltip="Latency quantiles; without them large graphs come faster">
            <InlineSwitch value={query.full !== false} onChange={() => change({ full: query.full === false })} />
          </InlineField>
        )}
      </InlineFieldRow>
      <InlineFieldRow>
        {ASKED[type].map((key) => (
          <Text key={key} id={`${query.refId}-${key}`} field={FIELDS[key]} value={query[key]} onDone={(text) => change({ [key]: text })} />
        ))}
      </InlineFieldRow>
      {type === 'graph' && query.focus ? <Neighbourhood query={query} change={change} /> : null}
    </>
  );
}

interface TextProps {
  readonly id: string;
  readonly field: TextField;
  readonly value: string | undefined;
  readonly onDone: (text: string) => void;
}

/** Asks anew when the field is left or Enter is pressed, not at each letter. */
function Text({ id, field, value, onDone }: TextProps) {
  return (
    <InlineField label={field.label} tooltip={field.tooltip} labelWidth={14}>
      <Input
        id={id}
        key={value}
        defaultValue={value}
        placeholder={field.placeholder}
        width={24}
        onBlur={(event) => event.currentTarget.value !== (value ?? '') && onDone(event.currentTarget.value.trim())}
        onKeyDown={(event) => event.key === 'Enter' && event.currentTarget.blur()}
      />
    </InlineField>
  );
}

const DIRECTIONS = [
  { value: 'both' as const, label: 'Callers and callees' },
  { value: 'upstream' as const, label: 'Callers' },
  { value: 'downstream' as const, label: 'Callees' },
];

function Neighbourhood({ query, change }: { query: TopologyQuery; change: (part: Partial<TopologyQuery>) => void }) {
  return (
    <InlineFieldRow>
      <InlineField label="Hops" labelWidth={14}>
        <Input
          type="number"
          min={1}
          max={100}
          width={24}
          defaultValue={query.depth ?? 1}
          onBlur={(event) => change({ depth: Math.min(100, Math.max(1, Number(event.currentTarget.value) || 1)) })}
        />
      </InlineField>
      <InlineField label="Direction" labelWidth={14}>
        <Combobox
          options={DIRECTIONS}
          value={query.direction ?? 'both'}
          width={24}
          onChange={({ value }) => change({ direction: value })}
        />
      </InlineField>
    </InlineFieldRow>
  );
}
