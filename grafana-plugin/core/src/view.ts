/**
 * The topology on the screen: holds the graph and its places, and does what people and programs ask of it.
 *
 * Invariant: `setGraph` never moves a node that was there, nor the part of the world that is looked at.
 */

import { describeEdge } from './format.ts';
import { EMPTY_GRAPH } from './graph.ts';
import type { Graph } from './graph.ts';
import { listenKeys } from './keys.ts';
import type { KeyActions } from './keys.ts';
import { placeMissing } from './layout/place.ts';
import { Listeners } from './listeners.ts';
import type { Listener, ViewEvents } from './listeners.ts';
import { DEFAULTS } from './options.ts';
import type { ViewOptions } from './options.ts';
import { moveNode } from './paint.ts';
import { Picture } from './picture.ts';
import { listen } from './pointing.ts';
import type { Gestures } from './pointing.ts';
import type { Positions } from './scene.ts';
import { nodeAt, NOTHING, onScreen, selectionOf, targetAt, targetOf } from './selection.ts';
import type { Selection, Target } from './selection.ts';
import { nextNode } from './steps.ts';
import { boxOf, fitBeside, pan, zoomAt } from './viewport.ts';
import type { Viewport } from './viewport.ts';

export class TopologyView {
  #options: ViewOptions;
  #graph: Graph = EMPTY_GRAPH;
  #positions: Positions = new Map();
  #fitted = false;
  #dragged = -1;
  readonly #picture: Picture;
  readonly #listeners = new Listeners();
  readonly #ending: (() => void)[] = [];

  constructor(host: HTMLElement, options: Partial<ViewOptions> = {}) {
    this.#options = { ...DEFAULTS, ...options };
    Object.assign(host.style, { position: 'relative', overflow: 'hidden', touchAction: 'none', userSelect: 'none' });
    this.#picture = new Picture(host, this.#options, {
      drawn: (frame) => this.#listeners.send('frame', frame),
      resized: () => this.#resized(),
    });
    this.#ending.push(listen(host, this.#gestures()), listenKeys(host, this.#picture.cursor, this.#keys()));
    this.#picture.watch();
  }

  get graph(): Graph {
    return this.#graph;
  }

  get viewport(): Viewport {
    return this.#picture.viewport;
  }

  get selection(): Selection {
    return selectionOf(this.#graph, this.#picture.attention.selected);
  }

  /** Show a graph. What was selected stays selected if it is still there. */
  setGraph(graph: Graph, positions: Positions = this.#positions): void {
    const before = this.#picture.scene;
    this.#graph = graph;
    this.#positions = placeMissing(graph, positions);
    this.#rebuild();
    this.#picture.attention.follow(before, this.#picture.scene);
    this.#picture.hideTip();
    if (!this.#fitted && graph.nodes.length && this.#picture.size.width) this.fit();
    this.#picture.emphasise();
  }

  /** Give nodes their places; those without one are put beside their neighbours. */
  setPositions(positions: Positions): void {
    this.setGraph(this.#graph, positions);
  }

  setOptions(options: Partial<ViewOptions>): void {
    this.#options = { ...this.#options, ...options };
    this.#picture.setOptions(this.#options);
    this.#rebuild();
    this.#picture.emphasise();
  }

  /** Select a node or an edge by id, or nothing. No event is sent. */
  select(id: string | null): void {
    this.#picture.attention.selected = id === null ? NOTHING : targetOf(this.#picture.scene, id);
    this.#picture.emphasise();
  }

  /** Let some services stand out, such as what a search found; null: none. */
  mark(ids: Iterable<string> | null): void {
    this.#picture.attention.marked = ids === null ? null : new Set(ids);
    this.#picture.emphasise();
  }

  /** Show the whole graph, or some of its services. */
  fit(ids?: Iterable<string>): void {
    this.#picture.fill();
    const { x, y, adjacency } = this.#picture.scene;
    const wanted = ids ? [...ids].map((id) => adjacency.index.get(id) ?? -1).filter((at) => at >= 0) : [...x.keys()];
    const box = boxOf(x, y, wanted, 48);
    if (!box || !this.#picture.size.width) return;
    this.#fitted = true;
    this.#picture.moveTo(fitBeside(box, this.#picture.size, this.#options.insets, this.#options.corner));
    this.#picture.settle();
  }

  /** Bring a service onto the screen, if it is not there. */
  reveal(id: string): void {
    const at = this.#picture.scene.adjacency.index.get(id);
    if (at !== undefined) this.#comeTo(at);
  }

  zoomBy(factor: number): void {
    const { width, height } = this.#picture.size;
    this.#picture.moveTo(zoomAt(this.#picture.viewport, width / 2, height / 2, factor));
  }

  panBy(dx: number, dy: number): void {
    this.#picture.moveTo(pan(this.#picture.viewport, dx, dy));
  }

  /** Where a service is on the screen, in pixels from the host's corner; null when it is not in the graph. */
  screenOf(id: string): { x: number; y: number } | null {
    const at = this.#picture.scene.adjacency.index.get(id);
    return at === undefined ? null : onScreen(this.#picture.scene, this.#picture.viewport, at);
  }

  /** Names that can be read now. */
  labels(): string[] {
    return this.#picture.labels().map((label) => label.text);
  }

  /** Say an edge or a service, for whoever cannot see what was selected. */
  describe(selection: NonNullable<Selection>): string {
    if (selection.edge) return describeEdge(selection.edge);
    const at = this.#picture.scene.adjacency.index.get(selection.node.id);
    return at === undefined ? selection.node.id : this.#picture.describe(at);
  }

  on<K extends keyof ViewEvents>(name: K, listener: Listener<K>): () => void {
    return this.#listeners.on(name, listener);
  }

  destroy(): void {
    for (const end of this.#ending) end();
    this.#picture.close();
  }

  #rebuild(): void {
    this.#picture.setGraph(this.#graph, this.#positions);
  }

  #resized(): void {
    if (!this.#fitted && this.#graph.nodes.length > 0 && this.#picture.size.width > 0) this.fit();
  }

  #targetAt(x: number, y: number): Target {
    return targetAt(this.#picture.scene, this.#picture.viewport, x, y);
  }

  #gestures(): Gestures {
    const zoom = (x: number, y: number, factor: number): void => this.#picture.moveTo(zoomAt(this.viewport, x, y, factor));
    return {
      grab: (x, y) => {
        this.#dragged = nodeAt(this.#picture.scene, this.viewport, x, y);
        return this.#dragged >= 0;
      },
      drag: (x, y) => this.#dragTo(x, y),
      drop: () => this.#drop(),
      pan: (dx, dy) => this.panBy(dx, dy),
      zoom,
      point: (x, y) => this.#point(x, y),
      leave: () => this.#point(Infinity, Infinity),
      click: (x, y) => this.#pick(this.#targetAt(x, y)),
      doubleClick: (x, y) => {
        const found = selectionOf(this.#graph, this.#targetAt(x, y));
        if (found) this.#listeners.send('open', found);
        else zoom(x, y, 1.6);
      },
    };
  }

  #keys(): KeyActions {
    const { attention } = this.#picture;
    return {
      step: (arrow) => this.#goTo(nextNode(this.#picture.scene, attention.cursor, arrow)),
      open: () => this.#openCursor(),
      leave: () => this.#pick(NOTHING),
      zoom: (factor) => this.zoomBy(factor),
      fit: () => this.fit(),
      focus: () => {
        const first = attention.selected.node >= 0 ? attention.selected.node : (this.#picture.scene.importance[0] ?? -1);
        this.#goTo(attention.cursor < 0 ? first : attention.cursor);
      },
      blur: () => this.#picture.emphasise(),
    };
  }

  #point(x: number, y: number): void {
    const { hovered } = this.#picture.attention;
    const found = this.#targetAt(x, y);
    this.#picture.point(found, x, y);
    if (found.node === hovered.node && found.edge === hovered.edge) return;
    this.#picture.emphasise();
    this.#listeners.send('hover', selectionOf(this.#graph, found));
  }

  #pick(found: Target): void {
    const { attention } = this.#picture;
    attention.selected = found;
    if (found.node >= 0) attention.cursor = found.node;
    this.#picture.emphasise();
    this.#listeners.send('select', selectionOf(this.#graph, found));
  }

  #dragTo(x: number, y: number): void {
    const { scale, x: left, y: top } = this.viewport;
    moveNode(this.#picture.scene, this.#dragged, (x - left) / scale, (y - top) / scale);
    this.#picture.attention.hovered = { node: this.#dragged, edge: -1 };
    this.#picture.hideTip();
    this.#picture.emphasise();
  }

  #drop(): void {
    const at = this.#dragged;
    this.#dragged = -1;
    if (at < 0) return;
    const { scene, attention } = this.#picture;
    const [id, x, y] = [this.#graph.nodes[at].id, scene.x[at], scene.y[at]];
    this.#positions = new Map(this.#positions).set(id, [x, y]);
    attention.hovered = NOTHING;
    this.#rebuild();
    this.#picture.emphasise();
    this.#listeners.send('pin', { id, x, y });
  }

  #openCursor(): void {
    const at = this.#picture.attention.cursor;
    const node = this.#graph.nodes[at];
    if (!node) return;
    this.#pick({ node: at, edge: -1 });
    this.#listeners.send('open', { node });
  }

  #goTo(at: number): void {
    if (at < 0 || at >= this.#graph.nodes.length) return;
    const { attention } = this.#picture;
    attention.cursor = at;
    attention.hovered = { node: at, edge: -1 };
    this.#picture.say(at);
    this.#comeTo(at);
    this.#picture.emphasise();
  }

  #comeTo(at: number): void {
    const { x, y } = onScreen(this.#picture.scene, this.viewport, at);
    const { width, height } = this.#picture.size;
    const { left, top, right, bottom } = this.#options.insets;
    if (x >= left && y >= top && x <= width - right && y <= height - bottom) return;
    this.panBy((left + width - right) / 2 - x, (top + height - bottom) / 2 - y);
  }
}
