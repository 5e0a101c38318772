/** What part of the world the screen shows: screen = world × scale + offset. Pure values. */

export interface Viewport {
  readonly scale: number;
  readonly x: number;
  readonly y: number;
}

export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Screen space that is covered by something else, on each side. */
export interface Insets {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

export const MIN_SCALE = 0.02;
export const MAX_SCALE = 4;

/** Zoom by a factor; the world under the screen point stays under it. */
export function zoomAt(view: Viewport, x: number, y: number, factor: number): Viewport {
  const scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, view.scale * factor));
  const by = scale / view.scale;
  return { scale, x: x - (x - view.x) * by, y: y - (y - view.y) * by };
}

export function pan(view: Viewport, dx: number, dy: number): Viewport {
  return { ...view, x: view.x + dx, y: view.y + dy };
}

/** The larger view of a box that leaves a corner at the bottom left free, by staying above it or right of it. */
export function fitBeside(box: Box, size: Size, insets: Insets, corner: Size): Viewport {
  const above = fitBox(box, size, { ...insets, bottom: Math.max(insets.bottom, corner.height) });
  const right = fitBox(box, size, { ...insets, left: Math.max(insets.left, corner.width) });
  const whole = fitBox(box, size, insets);
  // Nothing may be in the corner anyway.
  const free = box.left * whole.scale + whole.x >= corner.width || box.bottom * whole.scale + whole.y <= size.height - corner.height;
  return free ? whole : above.scale >= right.scale ? above : right;
}

/** Show a whole box, centred in what is free; never larger than `most`: three nodes need not fill a wall. */
export function fitBox(box: Box, size: Size, insets: Insets, most = 1.5): Viewport {
  const width = Math.max(size.width - insets.left - insets.right, 40);
  const height = Math.max(size.height - insets.top - insets.bottom, 40);
  const wide = Math.max(box.right - box.left, 1);
  const high = Math.max(box.bottom - box.top, 1);
  const scale = Math.max(MIN_SCALE, Math.min(most, width / wide, height / high));
  return {
    scale,
    x: insets.left + width / 2 - ((box.left + box.right) / 2) * scale,
    y: insets.top + height / 2 - ((box.top + box.bottom) / 2) * scale,
  };
}

/** The box of some points, with room around each; null when there are none. */
export function boxOf(x: ArrayLike<number>, y: ArrayLike<number>, nodes: Iterable<number>, room: number): Box | null {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const at of nodes) {
    left = Math.min(left, x[at]);
    right = Math.max(right, x[at]);
    top = Math.min(top, y[at]);
    bottom = Math.max(bottom, y[at]);
  }
  if (left > right) return null;
  return { left: left - room, top: top - room, right: right + room, bottom: bottom + room };
}

/** The world that a screen of a size shows. */
export function shownBox(view: Viewport, size: Size, margin = 0): Box {
  return {
    left: (-margin - view.x) / view.scale,
    top: (-margin - view.y) / view.scale,
    right: (size.width + margin - view.x) / view.scale,
    bottom: (size.height + margin - view.y) / view.scale,
  };
}

export function overlaps(a: Box, b: Box): boolean {
  return a.left <= b.right && b.left <= a.right && a.top <= b.bottom && b.top <= a.bottom;
}
