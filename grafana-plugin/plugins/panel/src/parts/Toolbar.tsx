/** What a person does with the drawing: search, focus, compare, read it as a table, see all of it. */

import { css } from '@emotion/css';
import React from 'react';

import type { GrafanaTheme2 } from '@grafana/data';
import { Button, Combobox, IconButton, Input, useStyles2 } from '@grafana/ui';

export interface Focus {
  readonly id: string;
  readonly hops: number;
}

interface Props {
  readonly search: string;
  readonly onSearch: (text: string) => void;
  readonly onFound: () => void;
  readonly foundCount: number | null;
  readonly focus: Focus | null;
  readonly onFocus: (focus: Focus | null) => void;
  /** What the dashboard's comparison variable holds; null when the dashboard has none. */
  readonly compare: string | null;
  readonly onCompare: (before: string) => void;
  readonly groupings: readonly string[];
  readonly collapsedBy: string;
  readonly onCollapse: (attribute: string) => void;
  readonly asTable: boolean;
  readonly onTable: (asTable: boolean) => void;
  readonly onFit: () => void;
  readonly pins: number;
  readonly onUnpin: () => void;
}

const BEFORE: Array<{ value: string; label: string }> = [
  { value: '', label: 'No comparison' },
  { value: '-1h', label: '1 hour before' },
  { value: '-1d', label: '1 day before' },
  { value: '-7d', label: '7 days before' },
];

export function Toolbar(props: Props) {
  const styles = useStyles2(getStyles);
  const { search, foundCount, focus, compare, groupings, collapsedBy, asTable, pins } = props;
  return (
    <div className={styles.row} role="toolbar" aria-label="Topology">
      <Input
        value={search}
        width={22}
        placeholder="Search services"
        aria-label="Search services"
        onChange={(event) => props.onSearch(event.currentTarget.value)}
        onKeyDown={(event) => event.key === 'Enter' && props.onFound()}
        suffix={foundCount === null ? undefined : <span aria-live="polite">{foundCount}</span>}
      />
      {compare !== null && (
        <Combobox
          aria-label="Compare with"
          options={withOwn(compare)}
          value={compare}
          width={18}
          onChange={({ value }) => props.onCompare(value)}
        />
      )}
      {groupings.length > 0 && (
        <Combobox
          aria-label="Collapse by"
          options={[{ value: '', label: 'Not collapsed' }, ...groupings.map((value) => ({ value, label: `By ${value}` }))]}
          value={collapsedBy}
          width={18}
          onChange={({ value }) => props.onCollapse(value)}
        />
      )}
      {focus && (
        <div className={styles.focus}>
          <span>
            Around <b>{focus.id}</b>
          </span>
          <IconButton
            name="minus"
            tooltip="One hop less"
            disabled={focus.hops <= 1}
            onClick={() => props.onFocus({ ...focus, hops: focus.hops - 1 })}
          />
          <span>
            {focus.hops} {focus.hops === 1 ? 'hop' : 'hops'}
          </span>
          <IconButton name="plus" tooltip="One hop more" onClick={() => props.onFocus({ ...focus, hops: focus.hops + 1 })} />
          <IconButton name="times" tooltip="Show all services" onClick={() => props.onFocus(null)} />
        </div>
      )}
      <div className={styles.end}>
        {pins > 0 && (
          <Button size="sm" variant="secondary" fill="text" onClick={props.onUnpin}>
            Unpin {pins}
          </Button>
        )}
        <IconButton name="search-minus" tooltip="Show the whole graph" onClick={props.onFit} />
        <IconButton
          name={asTable ? 'sitemap' : 'table'}
          tooltip={asTable ? 'Show as a graph' : 'Show as a table'}
          onClick={() => props.onTable(!asTable)}
        />
      </div>
    </div>
  );
}

/** The choices, and what the variable holds when it is none of them. */
function withOwn(value: string): typeof BEFORE {
  return BEFORE.some((choice) => choice.value === value) ? BEFORE : [...BEFORE, { value, label: value }];
}

function getStyles(theme: GrafanaTheme2) {
  return {
    row: css({ display: 'flex', flexWrap: 'wrap', alignItems: 'center', gap: theme.spacing(1), minHeight: 34 }),
    focus: css({ display: 'flex', alignItems: 'center', gap: theme.spacing(0.5), whiteSpace: 'nowrap' }),
    end: css({ display: 'flex', alignItems: 'center', gap: theme.spacing(1), marginLeft: 'auto' }),
  };
}
