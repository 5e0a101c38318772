/** The drawing as a hook: made when its element is there, told what changes, gone with the panel. */

import { useEffect, useRef, useState } from 'react';

import { TopologyView } from '../../../../core/src/index.ts';
import type { Graph, Positions, Selection, ViewOptions } from '../../../../core/src/index.ts';

interface Events {
  readonly onSelect: (selection: Selection) => void;
  readonly onOpen: (selection: NonNullable<Selection>) => void;
  readonly onPin: (id: string, x: number, y: number) => void;
}

/** Returns what to give the element as `ref`, and the drawing once there is one. */
export function useView(graph: Graph, positions: Positions | null, options: Partial<ViewOptions>, events: Events) {
  const [host, setHost] = useState<HTMLElement | null>(null);
  const [view, setView] = useState<TopologyView | null>(null);
  const latest = useRef(events);

  useEffect(() => {
    latest.current = events;
  });
  useEffect(() => {
    if (!host) {
      return;
    }
    const made = new TopologyView(host);
    made.on('select', (selection) => latest.current.onSelect(selection));
    made.on('open', (selection) => latest.current.onOpen(selection));
    made.on('pin', ({ id, x, y }) => latest.current.onPin(id, x, y));
    setView(made);
    return () => {
      made.destroy();
      setView(null);
    };
  }, [host]);
  useEffect(() => view?.setOptions(options), [view, options]);
  useEffect(() => {
    if (positions) {
      view?.setGraph(graph, positions);
    }
  }, [view, graph, positions]);
  return { ref: setHost, view };
}
