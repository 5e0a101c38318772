/** The instant that the pointer is at in another panel of the dashboard; null when it is at none. */

import { useEffect, useState } from 'react';

import { DataHoverClearEvent, DataHoverEvent } from '@grafana/data';
import type { EventBus } from '@grafana/data';

export function useHoverTime(bus: EventBus): number | null {
  const [time, setTime] = useState<number | null>(null);
  useEffect(() => {
    const moved = bus.getStream(DataHoverEvent).subscribe(({ payload }) => {
      const at: unknown = payload.point?.time;
      setTime(typeof at === 'number' ? at : null);
    });
    const left = bus.getStream(DataHoverClearEvent).subscribe(() => setTime(null));
    return () => {
      moved.unsubscribe();
      left.unsubscribe();
    };
  }, [bus]);
  return time;
}
