/** What whoever holds a view may choose. */

import type { EdgeLabel } from './format.ts';
import type { ColourBy } from './style.ts';
import { LIGHT } from './theme.ts';
import type { Theme } from './theme.ts';
import type { Insets, Size } from './viewport.ts';

export interface ViewOptions {
  readonly theme: Theme;
  readonly colourBy: ColourBy;
  readonly edgeLabel: EdgeLabel;
  readonly showVia: boolean;
  /** Screen space on each side that something else covers. */
  readonly insets: Insets;
  /** A corner at the bottom left that something else covers, such as a legend. */
  readonly corner: Size;
  /** What the whole is called for screen readers. */
  readonly name: string;
}

export const DEFAULTS: ViewOptions = {
  theme: LIGHT,
  colourBy: 'errors',
  edgeLabel: 'none',
  showVia: true,
  insets: { left: 24, top: 24, right: 24, bottom: 24 },
  corner: { width: 0, height: 0 },
  name: 'Topology',
};
