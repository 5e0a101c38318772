/** Grafana's theme as the drawing's. Our hues stay: they are told apart by colour-blind people in both themes. */

import type { GrafanaTheme2 } from '@grafana/data';

import { DARK, LIGHT } from '../../../core/src/index.ts';
import type { Theme } from '../../../core/src/index.ts';

export function drawingTheme(theme: GrafanaTheme2): Theme {
  const base = theme.isDark ? DARK : LIGHT;
  return {
    ...base,
    background: theme.colors.background.primary,
    surface: theme.colors.background.secondary,
    text: theme.colors.text.primary,
    muted: theme.colors.text.secondary,
    accent: theme.colors.primary.text,
    font: theme.typography.fontFamily,
  };
}
