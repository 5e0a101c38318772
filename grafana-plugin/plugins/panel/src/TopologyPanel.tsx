/** The panel: wires the dashboard's frames, time, variables and hover to the drawing. */

import { css } from '@emotion/css';
import React, { useEffect, useMemo, useState } from 'react';

import { DataHoverClearEvent, DataHoverEvent } from '@grafana/data';
import type { GrafanaTheme2, PanelProps } from '@grafana/data';
import { locationService } from '@grafana/runtime';
import { useStyles2, useTheme2 } from '@grafana/ui';

import { EMPTY_GRAPH, collapse, degrade, groupings } from '../../../core/src/index.ts';
import type { Graph, Selection } from '../../../core/src/index.ts';
import { linksOf, marksOf, rowOf, timelineOf, topologyOf } from './frames';
import type { Topology } from './frames';
import { useCloser } from './hooks/useCloser';
import { useHoverTime } from './hooks/useHoverTime';
import { usePositions } from './hooks/usePositions';
import { useView } from './hooks/useView';
import { found, neighbourhood } from './neighbourhood';
import { Details } from './parts/Details';
import { EdgeTable } from './parts/EdgeTable';
import { Legend } from './parts/Legend';
import { TimeSlider } from './parts/TimeSlider';
import { Toolbar } from './parts/Toolbar';
import type { Focus } from './parts/Toolbar';
import { drawingTheme } from './theme';
import type { PanelOptions } from './types';

const NO_PLACES = new Map();

export function TopologyPanel(props: PanelProps<PanelOptions>) {
  const { data, width, height } = props;
  const theme = useTheme2();
  const styles = useStyles2(getStyles);
  const topology = useMemo(() => topologyOf(data.series, theme), [data.series, theme]);
  const problem = problemOf(topology, data.error?.message);
  return (
    <div className={styles.panel} style={{ width, height }} data-testid="topology-panel">
      {problem ? (
        <div className={styles.problem} role="status">
          <p>{problem}</p>
        </div>
      ) : (
        <Drawing {...props} topology={topology!} />
      )}
      <Slider {...props} />
    </div>
  );
}

/** Why there is nothing to draw, and what to do; null when there is something. */
function problemOf(topology: Topology | null, error: string | undefined): string | null {
  if (!topology) {
    return error ?? 'No topology in this panel’s data. Choose the chronotope data source and ask for a graph.';
  }
  if (topology.graph.nodes.length === 0) {
    return 'Nothing called anything in this time. Choose a longer or another time, or ask with fewer filters.';
  }
  return null;
}

function Drawing(props: PanelProps<PanelOptions> & { readonly topology: Topology }) {
  const { topology, options, onOptionsChange, replaceVariables } = props;
  const styles = useStyles2(getStyles);
  const grafanaTheme = useTheme2();
  const theme = useMemo(() => drawingTheme(grafanaTheme), [grafanaTheme]);
  const [search, setSearch] = useState('');
  const [focus, setFocus] = useState<Focus | null>(null);
  const [selection, setSelection] = useState<Selection>(null);
  const [asTable, setAsTable] = useState(false);
  const [opened, setOpened] = useState<ReadonlySet<string>>(new Set());

  const { graph, notice } = useShown(topology, options.collapseBy, focus, opened);
  const whole = usePositions(graph, topology.positions ?? NO_PLACES, options.pinned);
  const { positions, move } = useCloser(graph, whole, focus ? `${focus.id} ${focus.hops}` : '');
  const colourBy = topology.compared ? 'status' : options.colourBy;
  const name = `${props.title || 'Topology'}: ${graph.nodes.length} services, ${graph.edges.length} dependencies`;
  const { edgeLabel, showVia } = options;
  const viewOptions = useMemo(
    () => ({ theme, colourBy, edgeLabel, showVia, name }),
    [theme, colourBy, edgeLabel, showVia, name]
  );
  const focusOn = (id: string) => setFocus({ id, hops: options.hops });
  const { ref, view } = useView(graph, positions, viewOptions, {
    onSelect: (selected) => {
      setSelection(selected);
      tellDashboard(options.serviceVariable, selected);
    },
    onOpen: ({ node }) => {
      if (node?.members !== undefined) {
        setOpened(new Set([...opened, node.name]));
      } else if (node) {
        focusOn(node.id);
      }
    },
    onPin: (id, x, y) =>
      move ? move(id, x, y) : onOptionsChange({ ...options, pinned: { ...options.pinned, [id]: [x, y] } }),
  });

  useEffect(() => view?.fit(), [view, focus]);

  const hits = useMemo(() => found(graph, search), [graph, search]);
  const onSearch = (text: string) => {
    setSearch(text);
    view?.mark(text.trim() ? found(graph, text) : null);
  };
  const frame = selection?.node ? topology.nodes : topology.edges;
  const links = selection ? linksOf(frame, rowOf(frame, (selection.node ?? selection.edge)!.id)) : [];
  return (
    <>
      <Toolbar
        search={search}
        onSearch={onSearch}
        onFound={() => hits.length > 0 && view?.fit(hits)}
        foundCount={search.trim() ? hits.length : null}
        focus={focus}
        onFocus={setFocus}
        compare={variable(options.compareVariable, replaceVariables)}
        onCompare={(before) => locationService.partial({ [`var-${options.compareVariable}`]: before }, true)}
        groupings={useMemo(() => groupings(topology.graph), [topology.graph])}
        collapsedBy={options.collapseBy}
        onCollapse={(collapseBy) => onOptionsChange({ ...options, collapseBy })}
        asTable={asTable}
        onTable={setAsTable}
        onFit={() => view?.fit()}
        pins={Object.keys(options.pinned).length}
        onUnpin={() => onOptionsChange({ ...options, pinned: {} })}
      />
      {notice && (
        <p className={styles.notice} role="status">
          {notice}
        </p>
      )}
      <div className={styles.stage}>
        <div ref={ref} className={styles.drawing} style={{ visibility: asTable ? 'hidden' : 'visible' }} />
        {!positions && <p className={styles.waiting}>Arranging {graph.nodes.length} services…</p>}
        {asTable && <EdgeTable graph={graph} onSelect={(id) => (view?.select(id), setSelection(edgeOf(graph, id)))} />}
        {selection && (
          <Details
            {...{ graph, selection, links }}
            onFocus={focusOn}
            onClose={() => (view?.select(null), setSelection(null))}
          />
        )}
      </div>
      <Legend {...{ graph, colourBy, theme }} />
    </>
  );
}

/** What of a topology is drawn, and what must be said of it. */
function useShown(topology: Topology, collapseBy: string, focus: Focus | null, opened: ReadonlySet<string>) {
  return useMemo(() => {
    const near = focus ? neighbourhood(topology.graph, focus.id, focus.hops) : topology.graph;
    const collapsed = collapseBy ? collapse(near, collapseBy, opened) : near;
    const { graph, groupedBy, leftOut } = degrade(collapsed, opened);
    return { graph, notice: noticeOf(topology.truncated, groupedBy, leftOut) };
  }, [topology, collapseBy, focus, opened]);
}

function noticeOf(truncated: boolean, groupedBy: string, leftOut: number): string {
  return [
    truncated && 'The busiest dependencies only: the query’s limit is reached. Add filters to the query.',
    groupedBy && `Too many services to draw: grouped by ${groupedBy}. Double click a group to open it.`,
    leftOut > 0 && `${leftOut} quiet dependencies are left out. Search, focus or filter to see them.`,
  ]
    .filter(Boolean)
    .join(' ');
}

function Slider({ data, options, timeRange, timeZone, eventBus, onChangeTimeRange }: PanelProps<PanelOptions>) {
  const timeline = useMemo(() => timelineOf(data.series), [data.series]);
  const marks = useMemo(() => marksOf(data.series), [data.series]);
  const hovered = useHoverTime(eventBus);
  if (!timeline || !options.showSlider) {
    return null;
  }
  const range = { from: timeRange.from.valueOf(), to: timeRange.to.valueOf() };
  const onHover = (time: number | null) =>
    eventBus.publish(time === null ? new DataHoverClearEvent() : new DataHoverEvent({ point: { time } }));
  return <TimeSlider {...{ timeline, marks, range, timeZone, hovered, onHover }} onMove={onChangeTimeRange} />;
}

/** The value of a dashboard variable; null when the dashboard has none of that name. */
function variable(name: string, replace: PanelProps['replaceVariables']): string | null {
  const value = name ? replace(`\${${name}}`) : '';
  return !name || value === `\${${name}}` ? null : value;
}

/** Let the dashboard's other panels follow the service that was clicked. */
function tellDashboard(name: string, selection: Selection): void {
  if (name && selection?.node) {
    locationService.partial({ [`var-${name}`]: selection.node.id }, true);
  }
}

function edgeOf(graph: Graph, id: string): Selection {
  const edge = (graph ?? EMPTY_GRAPH).edges.find((own) => own.id === id);
  return edge ? { edge } : null;
}

function getStyles(theme: GrafanaTheme2) {
  return {
    panel: css({ display: 'flex', flexDirection: 'column', overflow: 'hidden' }),
    stage: css({ position: 'relative', flex: 1, minHeight: 0 }),
    drawing: css({ position: 'absolute !important' as 'absolute', inset: 0 }),
    waiting: css({ position: 'absolute', inset: '40% 0 auto', textAlign: 'center', color: theme.colors.text.secondary }),
    problem: css({
      display: 'flex',
      flex: 1,
      alignItems: 'center',
      justifyContent: 'center',
      padding: theme.spacing(2),
      textAlign: 'center',
      color: theme.colors.text.secondary,
      '& p': { maxWidth: 480 },
    }),
    notice: css({ margin: 0, color: theme.colors.warning.text, fontSize: theme.typography.bodySmall.fontSize }),
  };
}
