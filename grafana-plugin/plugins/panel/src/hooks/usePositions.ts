/**
 * Where services are. Invariant: a service that has a place keeps it while the panel lives, whatever time is shown:
 * places come from pins, then from the server, then from a worker's layout of those that have none.
 */

import { useEffect, useMemo, useState } from 'react';

import type { Graph, LayoutRequest, Positions } from '../../../../core/src/index.ts';
import { startLayout } from '../startLayout';

type Place = readonly [x: number, y: number];

export function usePositions(graph: Graph, given: Positions, pinned: Record<string, Place>): Positions | null {
  const [computed, setComputed] = useState<Positions>(new Map());
  const complete = graph.nodes.every((node) => given.has(node.id) || computed.has(node.id));

  useEffect(() => {
    if (complete) {
      return;
    }
    const worker = startLayout();
    worker.onmessage = ({ data }: MessageEvent<Array<[string, number, number]>>) => {
      setComputed((known) => new Map([...data.map(([id, x, y]) => [id, [x, y]] as const), ...known]));
      worker.terminate();
    };
    worker.postMessage(requestOf(graph, new Map([...computed, ...given])));
    return () => worker.terminate();
  }, [graph, given, computed, complete]);

  return useMemo(
    () => (complete ? new Map([...computed, ...given, ...Object.entries(pinned)]) : null),
    [complete, computed, given, pinned]
  );
}

function requestOf(graph: Graph, known: Positions): LayoutRequest {
  const index = new Map(graph.nodes.map((node, at) => [node.id, at]));
  return {
    nodes: graph.nodes.map((node) => node.id),
    edges: graph.edges.map((edge) => [index.get(edge.source)!, index.get(edge.target)!] as const),
    known: [...known].flatMap(([id, [x, y]]) => (index.has(id) ? [[id, x, y] as const] : [])),
  };
}
