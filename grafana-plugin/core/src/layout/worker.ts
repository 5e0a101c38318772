/** The worker's side of `forceLayout`: one message in, one out. Bundle it as a worker of its own. */

import { forceLayout } from './force.ts';
import type { LayoutRequest } from './force.ts';

self.addEventListener('message', (event: MessageEvent<LayoutRequest>) => {
  const places = forceLayout(event.data);
  self.postMessage([...places].map(([id, [x, y]]) => [id, x, y]));
});
