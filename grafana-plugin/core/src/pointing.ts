/** From pointer and wheel events to what a person meant: pan, zoom, point, click, drag. Knows nothing of graphs. */

export interface Gestures {
  /** The pointer went down on something that can be dragged. */
  grab(x: number, y: number): boolean;
  drag(x: number, y: number): void;
  drop(): void;
  pan(dx: number, dy: number): void;
  zoom(x: number, y: number, factor: number): void;
  point(x: number, y: number): void;
  leave(): void;
  click(x: number, y: number): void;
  doubleClick(x: number, y: number): void;
}

const CLICK_REACH = 4; // pixels a pointer may slip in a click
const WHEEL_LINE = 18;

/** Listen on an element; returns a function that stops. Coordinates are pixels from its top left corner. */
export function listen(element: HTMLElement, gestures: Gestures): () => void {
  const pointers = new Pointers(element, gestures);
  const wheel = (event: WheelEvent): void => {
    event.preventDefault();
    const [x, y] = placeOf(element, event);
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * WHEEL_LINE : event.deltaY;
    gestures.zoom(x, y, Math.exp(-Math.max(-240, Math.min(240, pixels)) * (event.ctrlKey ? 0.01 : 0.0022)));
  };
  const double = (event: MouseEvent): void => gestures.doubleClick(...placeOf(element, event));
  const listeners: [string, (event: never) => void][] = [
    ['pointerdown', pointers.down],
    ['pointermove', pointers.move],
    ['pointerup', pointers.up],
    ['pointercancel', pointers.cancel],
    ['pointerleave', pointers.left],
    ['wheel', wheel],
    ['dblclick', double],
  ];
  for (const [name, heard] of listeners) element.addEventListener(name, heard as EventListener, { passive: false });
  return () => {
    for (const [name, heard] of listeners) element.removeEventListener(name, heard as EventListener);
  };
}

class Pointers {
  readonly #at = new Map<number, [number, number]>();
  #start: [number, number] = [0, 0];
  #mode: 'none' | 'press' | 'pan' | 'drag' | 'pinch' = 'none';
  #grabbed = false;

  constructor(
    private readonly element: HTMLElement,
    private readonly gestures: Gestures,
  ) {}

  readonly down = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    const at = placeOf(this.element, event);
    this.#at.set(event.pointerId, at);
    this.element.setPointerCapture(event.pointerId);
    if (this.#at.size === 2) {
      if (this.#mode === 'drag') this.gestures.drop();
      this.#mode = 'pinch';
      return;
    }
    this.#start = at;
    this.#mode = 'press';
    this.#grabbed = this.gestures.grab(...at);
  };

  readonly move = (event: PointerEvent): void => {
    const [x, y] = placeOf(this.element, event);
    const before = this.#at.get(event.pointerId);
    if (!before) {
      this.gestures.point(x, y);
      return;
    }
    if (this.#mode === 'pinch') this.#pinch(event.pointerId, [x, y]);
    const far = Math.hypot(x - this.#start[0], y - this.#start[1]) > CLICK_REACH;
    if (this.#mode === 'press' && far) this.#mode = this.#grabbed ? 'drag' : 'pan';
    if (this.#mode === 'drag') this.gestures.drag(x, y);
    if (this.#mode === 'pan') this.gestures.pan(x - before[0], y - before[1]);
    if (this.#mode !== 'press') this.#at.set(event.pointerId, [x, y]);
  };

  readonly up = (event: PointerEvent): void => {
    if (!this.#at.delete(event.pointerId)) return;
    if (this.#mode === 'drag') this.gestures.drop();
    if (this.#mode === 'press') this.gestures.click(...placeOf(this.element, event));
    this.#mode = this.#at.size ? 'pan' : 'none';
  };

  readonly cancel = (event: PointerEvent): void => {
    if (this.#mode === 'drag') this.gestures.drop();
    this.#at.delete(event.pointerId);
    this.#mode = 'none';
  };

  readonly left = (): void => {
    if (!this.#at.size) this.gestures.leave();
  };

  #pinch(id: number, now: [number, number]): void {
    const before = this.#at.get(id);
    const other = [...this.#at].find(([pointer]) => pointer !== id)?.[1];
    if (!before || !other) return;
    const [was, is] = [before, now].map(([x, y]) => Math.hypot(x - other[0], y - other[1]) || 1);
    this.gestures.zoom((now[0] + other[0]) / 2, (now[1] + other[1]) / 2, is / was);
    this.gestures.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
  }
}

function placeOf(element: HTMLElement, event: MouseEvent): [number, number] {
  const box = element.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}
