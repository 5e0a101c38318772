/** The panel's options, as dashboards keep them. */

import type { ColourBy, EdgeLabel } from '../../../core/src/index.ts';

export interface PanelOptions {
  colourBy: ColourBy;
  edgeLabel: EdgeLabel;
  showVia: boolean;
  showSlider: boolean;
  /** Hops that focusing on a service shows. */
  hops: number;
  /** Attribute whose services become one node each; empty: none. */
  collapseBy: string;
  /** Dashboard variable that the comparison is chosen by; the graph query's “Compare with” holds it. */
  compareVariable: string;
  /** Dashboard variable that is set to the service that was clicked; empty: none. */
  serviceVariable: string;
  /** Places that somebody dragged services to. */
  pinned: Record<string, [x: number, y: number]>;
}
