/** A panel beside the topology: says what it got, and takes part in the dashboard's hover. */

import { DataHoverClearEvent, DataHoverEvent, PanelPlugin } from '@grafana/data';
import type { PanelProps } from '@grafana/data';
import React, { useEffect, useState } from 'react';

function Neighbour({ data, eventBus, timeRange }: PanelProps) {
  const [hovered, setHovered] = useState<number | null>(null);
  useEffect(() => {
    const heard = eventBus.getStream(DataHoverEvent).subscribe(({ payload }) => setHovered(Number(payload.point?.time)));
    return () => heard.unsubscribe();
  }, [eventBus]);
  const frame = data.series[0];
  const middle = (timeRange.from.valueOf() + timeRange.to.valueOf()) / 2;
  return (
    <div
      data-testid="neighbour"
      style={{ height: '100%' }}
      onPointerMove={() => eventBus.publish(new DataHoverEvent({ point: { time: middle } }))}
      onPointerLeave={() => eventBus.publish(new DataHoverClearEvent())}
    >
      <p data-testid="neighbour-range">
        {timeRange.from.toISOString()} – {timeRange.to.toISOString()}
      </p>
      <p data-testid="neighbour-rows">{frame ? `${frame.name}: ${frame.length} rows` : 'no data'}</p>
      <p data-testid="neighbour-hover">{hovered === null ? '' : new Date(hovered).toISOString()}</p>
    </div>
  );
}

export const neighbour = new PanelPlugin(Neighbour);
