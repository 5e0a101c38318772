/** What the parts of the page know of the whole. */

import type { Theme, TopologyView } from '@chronotope/core';
import type { Asking } from './asking.ts';
import type { Shown } from './reading.ts';
import type { State } from './state.ts';

export interface Page {
  readonly state: State;
  /** What is drawn; null before the first answer. */
  readonly shown: Shown | null;
  readonly view: TopologyView;
  readonly asking: Asking;
  readonly theme: Theme;
  /** Change the state, and whatever shows it. */
  change(change: Partial<State>): void;
}
