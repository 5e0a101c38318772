/** The graph as a table: what the drawing shows, for screen readers and for whoever prefers it. */

import { css } from '@emotion/css';
import React, { useMemo } from 'react';

import type { GrafanaTheme2 } from '@grafana/data';
import { useStyles2 } from '@grafana/ui';

import { COLUMNS, tableRows } from '../../../../core/src/index.ts';
import type { Graph } from '../../../../core/src/index.ts';

const MOST_ROWS = 1000;

export function EdgeTable({ graph, onSelect }: { readonly graph: Graph; readonly onSelect: (edgeId: string) => void }) {
  const styles = useStyles2(getStyles);
  const rows = useMemo(() => tableRows(graph), [graph]);
  const left = rows.length - MOST_ROWS;
  return (
    <div className={styles.scroll} role="region" aria-label="Dependencies" tabIndex={0}>
      <table className={styles.table}>
        <caption>
          {graph.nodes.length} services, {graph.edges.length} dependencies{left > 0 && `; the busiest ${MOST_ROWS} are shown`}
        </caption>
        <thead>
          <tr>
            {COLUMNS.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, MOST_ROWS).map(({ id, cells: [caller, ...cells] }) => (
            <tr key={id}>
              <th scope="row">
                <button type="button" className={styles.pick} onClick={() => onSelect(id)}>
                  {caller}
                </button>
              </th>
              {cells.map((cell, at) => (
                <td key={at}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function getStyles(theme: GrafanaTheme2) {
  return {
    scroll: css({ overflow: 'auto', width: '100%', height: '100%' }),
    table: css({
      width: '100%',
      '& caption': { captionSide: 'top', textAlign: 'left', color: theme.colors.text.secondary },
      '& th, & td': {
        padding: theme.spacing(0.25, 1),
        textAlign: 'left',
        fontWeight: 'normal',
        whiteSpace: 'nowrap',
        borderBottom: `1px solid ${theme.colors.border.weak}`,
      },
      '& thead th': { position: 'sticky', top: 0, background: theme.colors.background.primary, color: theme.colors.text.secondary },
    }),
    pick: css({ padding: 0, border: 'none', background: 'none', color: theme.colors.text.link }),
  };
}
