/** The topology's drawing, for the built-in page and for Grafana's panel: graph model, looks, layout, view. */

export * from './adjacency.ts';
export * from './api.ts';
export * from './collapse.ts';
export * from './degrade.ts';
export * from './format.ts';
export * from './graph.ts';
export { forceLayout } from './layout/force.ts';
export type { LayoutRequest } from './layout/force.ts';
export { drawCloser } from './layout/closer.ts';
export { placeMissing } from './layout/place.ts';
export type { ViewOptions } from './options.ts';
export type { Positions } from './scene.ts';
export { ICONS, OUTLINES } from './shapes.ts';
export * from './style.ts';
export * from './table.ts';
export * from './theme.ts';
export * from './tips.ts';
export type { ViewEvents } from './listeners.ts';
export type { Selection } from './selection.ts';
export { TopologyView } from './view.ts';
export type { Insets, Size, Viewport } from './viewport.ts';
