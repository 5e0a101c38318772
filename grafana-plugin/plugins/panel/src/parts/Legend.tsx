/** What shapes and colours mean. */

import { css } from '@emotion/css';
import React from 'react';

import type { GrafanaTheme2 } from '@grafana/data';
import { useStyles2 } from '@grafana/ui';

import { KINDS, LAYERS, edgeLegend } from '../../../../core/src/index.ts';
import type { ColourBy, Graph, Theme } from '../../../../core/src/index.ts';

interface Props {
  readonly graph: Graph;
  readonly colourBy: ColourBy;
  readonly theme: Theme;
}

export function Legend({ graph, colourBy, theme }: Props) {
  const styles = useStyles2(getStyles);
  const kinds = KINDS.filter((kind) => graph.nodes.some((node) => node.kind === kind));
  const layers = LAYERS.filter((layer) => graph.edges.some((edge) => edge.layers.includes(layer)));
  const inferred = graph.edges.some((edge) => edge.inferred);
  return (
    <ul className={styles.list} aria-label="Legend">
      {kinds.map((kind) => (
        <li key={kind}>
          <i className={styles.dot} style={{ background: theme.kinds[kind] }} />
          {kind}
        </li>
      ))}
      {edgeLegend(colourBy, theme, layers).map(({ colour, label, dash }) => (
        <li key={label}>
          <i className={styles.line} style={{ borderTop: `3px ${dash.length > 0 ? 'dashed' : 'solid'} ${colour}` }} />
          {label}
        </li>
      ))}
      {inferred && (
        <li>
          <i className={styles.line} style={{ borderTop: `3px dashed ${theme.edge}` }} />
          inferred
        </li>
      )}
    </ul>
  );
}

function getStyles(theme: GrafanaTheme2) {
  return {
    list: css({
      display: 'flex',
      flexWrap: 'wrap',
      gap: theme.spacing(0, 1.5),
      margin: 0,
      padding: theme.spacing(0.5, 0),
      listStyle: 'none',
      fontSize: theme.typography.bodySmall.fontSize,
      color: theme.colors.text.secondary,
      '& li': { display: 'flex', alignItems: 'center', gap: theme.spacing(0.5) },
    }),
    dot: css({ width: 10, height: 10, borderRadius: '50%' }),
    line: css({ width: 18 }),
  };
}
