/**
 * The topology on the screen: owns the canvases, the overlay and what is selected, and draws when something changed.
 *
 * Invariant: `setGraph` never moves a node that was there, nor the part of the world that is looked at.
 */

import { describeEdge, describeNode } from './format.ts';
import type { EdgeLabel } from './format.ts';
import { EMPTY_GRAPH } from './graph.ts';
import type { Graph, GraphEdge, GraphNode } from './graph.ts';
import { Frames } from './frames.ts';
import { edgesOf } from './adjacency.ts';
import { nearestEdge } from './curves.ts';
import { placeMissing } from './layout/place.ts';
import { placeLabels } from './labels.ts';
import type { Label } from './labels.ts';
import { Overlay } from './overlay.ts';
import { begin, grownAt, moveNode, paintHighlight, paintScene } from './paint.ts';
import type { Highlight } from './paint.ts';
import { listen } from './pointing.ts';
import { neighboursOf, sceneOf } from './scene.ts';
import type { Positions, Scene } from './scene.ts';
import { nextNode } from './steps.ts';
import type { ColourBy } from './style.ts';
import { LIGHT } from './theme.ts';
import type { Theme } from './theme.ts';
import { tipOfEdge, tipOfNode } from './tips.ts';
import { boxOf, fitBeside, pan, zoomAt } from './viewport.ts';
import type { Insets, Size, Viewport } from './viewport.ts';

export interface ViewOptions {
  readonly theme: Theme;
  readonly colourBy: ColourBy;
  readonly edgeLabel: EdgeLabel;
  readonly showVia: boolean;
  /** Screen space on each side that something else covers. */
  readonly insets: Insets;
  /** A corner at the bottom left that something else covers, such as a legend. */
  readonly corner: Size;
  /** What the whole is called for screen readers. */
  readonly name: string;
}

export type Selection =
  | { readonly node: GraphNode; readonly edge?: undefined }
  | { readonly edge: GraphEdge; readonly node?: undefined }
  | null;

export interface ViewEvents {
  /** A click, or Escape. */
  select: Selection;
  /** The pointer came to something, or left it. */
  hover: Selection;
  /** A double click or Enter. */
  open: NonNullable<Selection>;
  /** A node was dragged to a new place. */
  pin: { readonly id: string; readonly x: number; readonly y: number };
  /** A frame was drawn: milliseconds of our own work. */
  frame: { readonly ms: number; readonly moving: boolean };
}

type Listener<K extends keyof ViewEvents> = (event: ViewEvents[K]) => void;

const MARGIN = 96; // pixels drawn beyond the screen: what comes in while a heavy scene is moved as a picture
const HEAVY = 1500; // strands from which a moving scene is moved as a picture, and drawn again when it rests
const MOST_LABELS = 320;
const NODE_REACH = 6;

export class TopologyView {
  #options: ViewOptions;
  #graph: Graph = EMPTY_GRAPH;
  #positions: Positions = new Map();
  #scene: Scene;
  #view: Viewport = { scale: 1, x: 0, y: 0 };
  #drawn: Viewport = this.#view;
  #size: Size = { width: 0, height: 0 };
  #fitted = false;
  #resize = (): void => undefined;
  #selected: { node: number; edge: number } = { node: -1, edge: -1 };
  #hovered: { node: number; edge: number } = { node: -1, edge: -1 };
  #marked: ReadonlySet<string> | null = null;
  #cursor = -1;
  #dragged = -1;
  readonly #host: HTMLElement;
  readonly #base: HTMLCanvasElement;
  readonly #top: HTMLCanvasElement;
  readonly #overlay: Overlay;
  readonly #frames: Frames;
  readonly #listeners = new Map<keyof ViewEvents, Set<(event: never) => void>>();
  readonly #measured = new Map<string, number>();
  readonly #ending: (() => void)[] = [];

  constructor(host: HTMLElement, options: Partial<ViewOptions> = {}) {
    const insets = { left: 24, top: 24, right: 24, bottom: 24 };
    this.#options = { theme: LIGHT, colourBy: 'errors', edgeLabel: 'none', showVia: true, insets, corner: { width: 0, height: 0 }, name: 'Topology', ...options };
    this.#host = host;
    Object.assign(host.style, { position: 'relative', overflow: 'hidden', touchAction: 'none', userSelect: 'none' });
    this.#base = this.#canvas('base');
    this.#top = this.#canvas('top');
    this.#overlay = new Overlay(host, this.#options.theme);
    this.#scene = sceneOf(EMPTY_GRAPH, this.#positions, this.#options);
    this.#frames = new Frames((moving) => this.#draw(moving));
    this.#ending.push(listen(host, this.#gestures()), this.#listenKeys(), this.#watchSize());
    this.#applyOptions();
  }

  get graph(): Graph {
    return this.#graph;
  }

  get viewport(): Viewport {
    return this.#view;
  }

  /** Show a graph. What was selected stays selected if it is still there. */
  setGraph(graph: Graph, positions: Positions = this.#positions): void {
    const selected = this.selection;
    const cursor = this.#graph.nodes[this.#cursor]?.id;
    this.#graph = graph;
    this.#positions = placeMissing(graph, positions);
    this.#rebuild();
    const { index } = this.#scene.adjacency;
    this.#cursor = cursor === undefined ? -1 : (index.get(cursor) ?? -1);
    this.#hovered = { node: -1, edge: -1 };
    this.#overlay.setTip(null, 0, 0, 0, 0);
    this.#selected = {
      node: index.get(selected?.node?.id ?? '') ?? -1,
      edge: selected?.edge ? graph.edges.findIndex((edge) => edge.id === selected.edge.id) : -1,
    };
    if (!this.#fitted && graph.nodes.length && this.#size.width) this.fit();
    this.#emphasise();
  }

  /** Give nodes their places; those without one are put beside their neighbours. */
  setPositions(positions: Positions): void {
    this.setGraph(this.#graph, positions);
  }

  setOptions(options: Partial<ViewOptions>): void {
    this.#options = { ...this.#options, ...options };
    this.#overlay.setTheme(this.#options.theme);
    this.#applyOptions();
    this.#rebuild();
    this.#emphasise();
  }

  get selection(): Selection {
    return this.#selectionOf(this.#selected);
  }

  /** Select a node or an edge by id, or nothing. No event is sent. */
  select(id: string | null): void {
    const node = id === null ? -1 : (this.#scene.adjacency.index.get(id) ?? -1);
    const edge = id === null || node >= 0 ? -1 : this.#graph.edges.findIndex((own) => own.id === id);
    this.#selected = { node, edge };
    this.#emphasise();
  }

  /** Let some services stand out, such as what a search found; null: none. */
  mark(ids: Iterable<string> | null): void {
    this.#marked = ids === null ? null : new Set(ids);
    this.#emphasise();
  }

  /** Show the whole graph, or some of its services. */
  fit(ids?: Iterable<string>): void {
    this.#resize();
    const { x, y, adjacency } = this.#scene;
    const wanted = ids ? [...ids].map((id) => adjacency.index.get(id) ?? -1).filter((at) => at >= 0) : [...x.keys()];
    const box = boxOf(x, y, wanted, 48);
    if (!box || !this.#size.width) return;
    this.#fitted = true;
    this.#moveTo(fitBeside(box, this.#size, this.#options.insets, this.#options.corner));
    this.#frames.settle();
  }

  /** Bring a service onto the screen, if it is not there. */
  reveal(id: string): void {
    const at = this.#scene.adjacency.index.get(id);
    if (at !== undefined) this.#comeTo(at);
  }

  zoomBy(factor: number): void {
    this.#moveTo(zoomAt(this.#view, this.#size.width / 2, this.#size.height / 2, factor));
  }

  panBy(dx: number, dy: number): void {
    this.#moveTo(pan(this.#view, dx, dy));
  }

  /** Where a service is on the screen, in pixels from the host's corner; null when it is not in the graph. */
  screenOf(id: string): { x: number; y: number } | null {
    const at = this.#scene.adjacency.index.get(id);
    return at === undefined ? null : this.#toScreen(at);
  }

  /** Names that can be read now. */
  labels(): string[] {
    return this.#place().map((label) => label.text);
  }

  on<K extends keyof ViewEvents>(name: K, listener: Listener<K>): () => void {
    const own = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, own);
    own.add(listener as (event: never) => void);
    return () => own.delete(listener as (event: never) => void);
  }

  destroy(): void {
    this.#frames.stop();
    for (const end of this.#ending) end();
    this.#host.replaceChildren();
  }

  #canvas(part: string): HTMLCanvasElement {
    const canvas = this.#host.ownerDocument.createElement('canvas');
    canvas.dataset.part = part;
    canvas.ariaHidden = 'true';
    Object.assign(canvas.style, { position: 'absolute', left: `${-MARGIN}px`, top: `${-MARGIN}px`, transformOrigin: '0 0' });
    this.#host.append(canvas);
    return canvas;
  }

  #applyOptions(): void {
    const { theme, name } = this.#options;
    this.#host.style.background = theme.background;
    this.#host.role = 'group';
    this.#host.ariaLabel = name;
    this.#overlay.cursor.setAttribute('aria-description', 'Arrow keys go to neighbours, Enter opens, Escape goes back.');
    this.#overlay.cursor.ariaLabel = `${name}: services`;
    this.#measured.clear();
  }

  #rebuild(): void {
    this.#scene = sceneOf(this.#graph, this.#positions, this.#options);
    this.#frames.ask();
  }

  #watchSize(): () => void {
    this.#resize = (): void => {
      const size = { width: this.#host.clientWidth, height: this.#host.clientHeight };
      if (size.width === this.#size.width && size.height === this.#size.height) return;
      const first = !this.#fitted && this.#graph.nodes.length > 0 && size.width > 0;
      this.#size = size;
      const ratio = this.#ratio();
      for (const canvas of [this.#base, this.#top]) {
        canvas.width = Math.round((size.width + 2 * MARGIN) * ratio);
        canvas.height = Math.round((size.height + 2 * MARGIN) * ratio);
        Object.assign(canvas.style, { width: `${size.width + 2 * MARGIN}px`, height: `${size.height + 2 * MARGIN}px` });
      }
      if (first) this.fit();
      this.#frames.settle();
    };
    const observer = new ResizeObserver(() => this.#resize());
    observer.observe(this.#host);
    this.#resize();
    return () => observer.disconnect();
  }

  #ratio(): number {
    return Math.min(this.#host.ownerDocument.defaultView?.devicePixelRatio ?? 1, 2);
  }

  #moveTo(view: Viewport): void {
    this.#view = view;
    this.#frames.move();
  }

  #draw(moving: boolean): void {
    if (!this.#size.width) return;
    const began = performance.now();
    const heavy = this.#scene.strands.length > HEAVY;
    if (moving && heavy) this.#movePicture();
    else {
      const context = this.#base.getContext('2d');
      if (!context) return;
      const shown = begin(context, this.#view, this.#size, this.#ratio(), MARGIN);
      paintScene(context, this.#scene, this.#view, shown, this.#options);
      this.#base.style.transform = '';
      this.#drawn = this.#view;
    }
    this.#drawTop();
    this.#drawText(moving && heavy);
    this.#send('frame', { ms: performance.now() - began, moving });
  }

  /** Move what was drawn, as a picture. */
  #movePicture(): void {
    const by = this.#view.scale / this.#drawn.scale;
    const x = this.#view.x - this.#drawn.x * by + MARGIN * (1 - by);
    const y = this.#view.y - this.#drawn.y * by + MARGIN * (1 - by);
    this.#base.style.transform = `translate(${x}px,${y}px) scale(${by})`;
  }

  #drawTop(): void {
    const context = this.#top.getContext('2d');
    if (!context) return;
    begin(context, this.#view, this.#size, this.#ratio(), MARGIN);
    const highlight = this.#highlight();
    if (highlight) paintHighlight(context, this.#scene, this.#view, highlight, this.#options);
  }

  #drawText(moving: boolean): void {
    this.#overlay.showLabels(!moving);
    if (!moving) {
      const strong = new Set([this.#selected.node, this.#hovered.node]);
      this.#overlay.setLabels(this.#place(), strong);
    }
    const at = this.#cursor;
    const focused = this.#host.ownerDocument.activeElement === this.#overlay.cursor;
    if (at < 0 || !focused) this.#overlay.hideCursor();
    else {
      const { x, y } = this.#toScreen(at);
      this.#overlay.setCursor(this.#describe(at), x, y, this.#radiusOnScreen(at));
    }
  }

  #place(): Label[] {
    const highlight = this.#highlight();
    const only = highlight && highlight.nodes.size ? { only: highlight } : {};
    return placeLabels(this.#scene, this.#view, this.#size, {
      edgeLabel: this.#options.edgeLabel,
      measure: (text) => this.#measure(text),
      most: MOST_LABELS,
      ...only,
    });
  }

  #measure(text: string): number {
    const known = this.#measured.get(text);
    if (known !== undefined) return known;
    const context = this.#top.getContext('2d');
    if (!context) return text.length * 7;
    context.font = `600 12px ${this.#options.theme.font}`;
    const { width } = context.measureText(text);
    this.#measured.set(text, width);
    return width;
  }

  /** What stands out now: what the pointer is on, else what is selected, else what is marked. */
  #highlight(): Highlight | null {
    const { adjacency } = this.#scene;
    const ringed = [this.#selected.node, this.#hovered.node].filter((at) => at >= 0);
    const one = [this.#hovered, this.#selected].find(({ node, edge }) => node >= 0 || edge >= 0);
    if (one && one.node >= 0) {
      const nodes = new Set([...neighboursOf(this.#scene, one.node), one.node, ...ringed]);
      return { nodes, edges: new Set(edgesOf(adjacency, one.node)), ringed };
    }
    if (one) {
      const ends = [adjacency.source[one.edge], adjacency.target[one.edge]].filter((at) => at >= 0);
      return { nodes: new Set([...ends, ...ringed]), edges: new Set([one.edge]), ringed };
    }
    if (!this.#marked) return null;
    const nodes = new Set([...this.#marked].map((id) => adjacency.index.get(id) ?? -1).filter((at) => at >= 0));
    const edges = new Set<number>();
    adjacency.source.forEach((source, at) => {
      if (nodes.has(source) && nodes.has(adjacency.target[at])) edges.add(at);
    });
    return { nodes, edges, ringed };
  }

  /** Dim what does not stand out. The compositor does it: nothing is drawn again. */
  #emphasise(): void {
    const picked = this.#selected.node >= 0 || this.#selected.edge >= 0 || this.#marked !== null;
    const hovered = this.#hovered.node >= 0 || this.#hovered.edge >= 0;
    this.#base.style.opacity = picked ? '0.16' : hovered ? '0.3' : '1';
    this.#frames.ask();
  }

  #gestures(): Parameters<typeof listen>[1] {
    return {
      grab: (x, y) => {
        this.#dragged = this.#nodeAt(x, y);
        return this.#dragged >= 0;
      },
      drag: (x, y) => this.#dragTo(x, y),
      drop: () => this.#drop(),
      pan: (dx, dy) => this.panBy(dx, dy),
      zoom: (x, y, factor) => this.#moveTo(zoomAt(this.#view, x, y, factor)),
      point: (x, y) => this.#point(x, y),
      leave: () => this.#point(Infinity, Infinity),
      click: (x, y) => this.#pick(this.#hit(x, y)),
      doubleClick: (x, y) => {
        const found = this.#selectionOf(this.#hit(x, y));
        if (found) this.#send('open', found);
        else this.#moveTo(zoomAt(this.#view, x, y, 1.6));
      },
    };
  }

  #hit(x: number, y: number): { node: number; edge: number } {
    const node = this.#nodeAt(x, y);
    if (node >= 0 || !Number.isFinite(x)) return { node, edge: -1 };
    const { scale } = this.#view;
    const [worldX, worldY] = [(x - this.#view.x) / scale, (y - this.#view.y) / scale];
    return { node: -1, edge: nearestEdge(this.#scene.curves, worldX, worldY, NODE_REACH / scale) };
  }

  #nodeAt(x: number, y: number): number {
    let [best, least] = [-1, Infinity];
    this.#scene.x.forEach((_, at) => {
      const place = this.#toScreen(at);
      const far = Math.hypot(x - place.x, y - place.y) - this.#radiusOnScreen(at);
      if (far < Math.min(least, NODE_REACH)) [best, least] = [at, far];
    });
    return best;
  }

  #point(x: number, y: number): void {
    const found = this.#hit(x, y);
    const changed = found.node !== this.#hovered.node || found.edge !== this.#hovered.edge;
    this.#hovered = found;
    this.#host.style.cursor = found.node >= 0 || found.edge >= 0 ? 'pointer' : 'grab';
    const { graph, callers, callees } = this.#scene;
    const tip =
      found.node >= 0
        ? tipOfNode(graph.nodes[found.node], callers[found.node], callees[found.node])
        : found.edge >= 0
          ? tipOfEdge(graph.edges[found.edge])
          : null;
    this.#overlay.setTip(tip, x, y, this.#size.width, this.#size.height);
    if (!changed) return;
    this.#emphasise();
    this.#send('hover', this.#selectionOf(found));
  }

  #pick(found: { node: number; edge: number }): void {
    this.#selected = found;
    if (found.node >= 0) this.#cursor = found.node;
    this.#emphasise();
    this.#send('select', this.#selectionOf(found));
  }

  #dragTo(x: number, y: number): void {
    const { scale } = this.#view;
    moveNode(this.#scene, this.#dragged, (x - this.#view.x) / scale, (y - this.#view.y) / scale);
    this.#hovered = { node: this.#dragged, edge: -1 };
    this.#overlay.setTip(null, 0, 0, 0, 0);
    this.#emphasise();
  }

  #drop(): void {
    const at = this.#dragged;
    this.#dragged = -1;
    if (at < 0) return;
    const [id, x, y] = [this.#graph.nodes[at].id, this.#scene.x[at], this.#scene.y[at]];
    this.#positions = new Map(this.#positions).set(id, [x, y]);
    this.#hovered = { node: -1, edge: -1 };
    this.#rebuild();
    this.#emphasise();
    this.#send('pin', { id, x, y });
  }

  #listenKeys(): () => void {
    const { cursor } = this.#overlay;
    const key = (event: KeyboardEvent): void => {
      if (event.target !== cursor || event.ctrlKey || event.metaKey || event.altKey || !this.#press(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
    };
    const focus = (): void => {
      if (this.#cursor < 0) this.#cursor = this.#selected.node >= 0 ? this.#selected.node : (this.#scene.importance[0] ?? -1);
      this.#goTo(this.#cursor);
    };
    const blur = (): void => this.#frames.ask();
    this.#host.addEventListener('keydown', key);
    cursor.addEventListener('focus', focus);
    cursor.addEventListener('blur', blur);
    return () => {
      this.#host.removeEventListener('keydown', key);
      cursor.removeEventListener('focus', focus);
      cursor.removeEventListener('blur', blur);
    };
  }

  /** Do what a key means; false when it means nothing here. */
  #press(key: string): boolean {
    if (key.startsWith('Arrow')) this.#goTo(nextNode(this.#scene, this.#cursor, key));
    else if (key === 'Enter' || key === ' ') {
      const node = this.#graph.nodes[this.#cursor];
      if (!node) return true;
      this.#pick({ node: this.#cursor, edge: -1 });
      this.#send('open', { node });
    } else if (key === 'Escape') this.#pick({ node: -1, edge: -1 });
    else if (key === '+' || key === '=') this.zoomBy(1.25);
    else if (key === '-') this.zoomBy(0.8);
    else if (key === '0') this.fit();
    else return false;
    return true;
  }

  #goTo(at: number): void {
    if (at < 0 || at >= this.#graph.nodes.length) return;
    this.#cursor = at;
    this.#hovered = { node: at, edge: -1 };
    this.#overlay.cursor.ariaLabel = this.#describe(at);
    this.#overlay.say(this.#describe(at));
    this.#comeTo(at);
    this.#emphasise();
  }

  #comeTo(at: number): void {
    const { x, y } = this.#toScreen(at);
    const { left, top, right, bottom } = this.#options.insets;
    const outside = x < left || y < top || x > this.#size.width - right || y > this.#size.height - bottom;
    if (!outside) return;
    const [midX, midY] = [(left + this.#size.width - right) / 2, (top + this.#size.height - bottom) / 2];
    this.panBy(midX - x, midY - y);
  }

  #describe(at: number): string {
    return describeNode(this.#graph.nodes[at], this.#scene.callers[at], this.#scene.callees[at]);
  }

  /** Say an edge, for whoever cannot see what was selected. */
  describe(selection: NonNullable<Selection>): string {
    if (selection.edge) return describeEdge(selection.edge);
    const at = this.#scene.adjacency.index.get(selection.node.id);
    return at === undefined ? selection.node.id : this.#describe(at);
  }

  #toScreen(at: number): { x: number; y: number } {
    const { scale, x, y } = this.#view;
    return { x: this.#scene.x[at] * scale + x, y: this.#scene.y[at] * scale + y };
  }

  #radiusOnScreen(at: number): number {
    return this.#scene.radius[at] * this.#view.scale * grownAt(this.#view.scale);
  }

  #selectionOf({ node, edge }: { node: number; edge: number }): Selection {
    if (node >= 0) return { node: this.#graph.nodes[node] };
    return edge >= 0 ? { edge: this.#graph.edges[edge] } : null;
  }

  #send<K extends keyof ViewEvents>(name: K, event: ViewEvents[K]): void {
    for (const listener of this.#listeners.get(name) ?? []) (listener as Listener<K>)(event);
  }
}
