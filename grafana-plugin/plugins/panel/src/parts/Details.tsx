/** What is known of the service or the edge that was clicked, and where its links lead. */

import { css } from '@emotion/css';
import React from 'react';

import type { GrafanaTheme2, LinkModel } from '@grafana/data';
import { Button, IconButton, useStyles2 } from '@grafana/ui';

import { tipOfEdge, tipOfNode } from '../../../../core/src/index.ts';
import type { Graph, Selection } from '../../../../core/src/index.ts';

interface Props {
  readonly graph: Graph;
  readonly selection: NonNullable<Selection>;
  readonly links: readonly LinkModel[];
  readonly onFocus: (id: string) => void;
  readonly onClose: () => void;
}

export function Details({ graph, selection, links, onFocus, onClose }: Props) {
  const styles = useStyles2(getStyles);
  const { title, lines } = tipOf(graph, selection);
  return (
    <section className={styles.card} aria-label={`Details of ${title}`} data-testid="details">
      <header className={styles.header}>
        <h4>{title}</h4>
        <IconButton name="times" tooltip="Close" onClick={onClose} />
      </header>
      <dl className={styles.list}>
        {lines.map(({ name, value }) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {selection.node && (
        <Button size="sm" variant="secondary" icon="search-plus" onClick={() => onFocus(selection.node.id)}>
          Focus
        </Button>
      )}
      {links.map((link) => (
        <a
          key={link.title + link.href}
          className={styles.link}
          href={link.href}
          target={link.target}
          rel="noreferrer"
          onClick={(event) => link.onClick?.(event)}
        >
          {link.title}
        </a>
      ))}
    </section>
  );
}

function tipOf(graph: Graph, selection: NonNullable<Selection>): ReturnType<typeof tipOfNode> {
  if (selection.edge) {
    return tipOfEdge(selection.edge);
  }
  const { id } = selection.node;
  const callers = new Set(graph.edges.filter((edge) => edge.target === id).map((edge) => edge.source)).size;
  const callees = new Set(graph.edges.filter((edge) => edge.source === id).map((edge) => edge.target)).size;
  return tipOfNode(selection.node, callers, callees);
}

function getStyles(theme: GrafanaTheme2) {
  return {
    card: css({
      position: 'absolute',
      right: theme.spacing(1),
      top: theme.spacing(1),
      width: 280,
      maxHeight: `calc(100% - ${theme.spacing(2)})`,
      overflow: 'auto',
      padding: theme.spacing(1.5),
      background: theme.colors.background.elevated,
      border: `1px solid ${theme.colors.border.weak}`,
      borderRadius: theme.shape.radius.default,
      boxShadow: theme.shadows.z2,
    }),
    header: css({ display: 'flex', justifyContent: 'space-between', alignItems: 'start', '& h4': { overflowWrap: 'anywhere' } }),
    list: css({
      margin: theme.spacing(0, 0, 1),
      '& > div': { display: 'flex', justifyContent: 'space-between', gap: theme.spacing(1) },
      '& dt': { fontWeight: 'normal', color: theme.colors.text.secondary },
      '& dd': { margin: 0, textAlign: 'right', overflowWrap: 'anywhere' },
    }),
    link: css({ display: 'block', marginTop: theme.spacing(1), color: theme.colors.text.link }),
  };
}
