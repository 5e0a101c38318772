/**
 * Colours, for light and dark. The hues are those of Okabe and Ito (jfly.uni-koeln.de/color), which people with any
 * common colour blindness tell apart; each theme has them at a lightness of 3:1 or more against its background.
 * Colour is never alone: kinds differ in shape, status in dash and mark, errors in a number.
 */

import type { Kind, Layer, Status } from './graph.ts';

export interface Theme {
  readonly dark: boolean;
  readonly background: string;
  readonly surface: string;
  readonly text: string;
  readonly muted: string;
  readonly edge: string;
  readonly accent: string;
  readonly kinds: Readonly<Record<Kind, string>>;
  readonly layers: Readonly<Record<Layer, string>>;
  readonly status: Readonly<Record<Status, string>>;
  /** From none to many errors, four steps. */
  readonly errors: readonly string[];
  /** From fast to slow, five steps. */
  readonly latency: readonly string[];
  readonly font: string;
}

const FONT = 'Inter, "Segoe UI", system-ui, -apple-system, Roboto, "DejaVu Sans", sans-serif';

export const LIGHT: Theme = {
  dark: false,
  background: '#f7f8fa',
  surface: '#ffffff',
  text: '#1c2333',
  muted: '#566074',
  edge: '#8b95a7',
  accent: '#2257d6',
  kinds: {
    service: '#2f6fb3',
    database: '#a3541a',
    messaging: '#8a4a86',
    external: '#4d5b6b',
    intermediary: '#00785a',
    unknown: '#6b7280',
  },
  layers: { network: '#b4650a', ipc: '#0072b2', trace: '#007e5c' },
  status: { added: '#0072b2', removed: '#c4510a', changed: '#a8488a', unchanged: '#a5adba' },
  errors: ['#8b95a7', '#b8860b', '#d1600a', '#b3261e'],
  latency: ['#4a7fb5', '#4f8f8b', '#8b8a3c', '#c27a1a', '#b3421e'],
  font: FONT,
};

export const DARK: Theme = {
  dark: true,
  background: '#11151d',
  surface: '#191f2b',
  text: '#e6e9f0',
  muted: '#9aa5b8',
  edge: '#65718a',
  accent: '#7aa7ff',
  kinds: {
    service: '#56a8e8',
    database: '#f0a860',
    messaging: '#dc98cc',
    external: '#a3b1c4',
    intermediary: '#3fc79a',
    unknown: '#98a2b3',
  },
  layers: { network: '#f0a33c', ipc: '#56b4e9', trace: '#3fc79a' },
  status: { added: '#56b4e9', removed: '#ff8a4c', changed: '#e39bd0', unchanged: '#4a5568' },
  errors: ['#65718a', '#e0c04a', '#ff9d4c', '#ff6b5e'],
  latency: ['#5b9bd8', '#5bb5b0', '#c9c35a', '#f0a33c', '#ff7a52'],
  font: FONT,
};
