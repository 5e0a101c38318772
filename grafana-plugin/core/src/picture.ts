/**
 * A scene as it is seen now: from where, with what standing out. Owns the stage and the overlay, and draws both in the
 * next frame after something changed.
 */

import { Attention } from './attention.ts';
import { describeNode } from './format.ts';
import { Frames } from './frames.ts';
import { EMPTY_GRAPH } from './graph.ts';
import type { Graph } from './graph.ts';
import { placeLabels } from './labels.ts';
import type { Label } from './labels.ts';
import type { ViewOptions } from './options.ts';
import { Overlay } from './overlay.ts';
import { sceneOf } from './scene.ts';
import type { Positions, Scene } from './scene.ts';
import { isThere, onScreen, radiusOnScreen } from './selection.ts';
import type { Target } from './selection.ts';
import { Stage } from './stage.ts';
import { tipOfEdge, tipOfNode } from './tips.ts';
import type { Size, Viewport } from './viewport.ts';

const MOST_LABELS = 320;

interface Heard {
  /** A frame was drawn: milliseconds of our own work. */
  drawn(frame: { readonly ms: number; readonly moving: boolean }): void;
  /** The host has got another size. */
  resized(): void;
}

export class Picture {
  #options: ViewOptions;
  #scene: Scene;
  #viewport: Viewport = { scale: 1, x: 0, y: 0 };
  readonly attention = new Attention();
  readonly #host: HTMLElement;
  readonly #heard: Heard;
  readonly #stage: Stage;
  readonly #overlay: Overlay;
  readonly #frames: Frames;

  constructor(host: HTMLElement, options: ViewOptions, heard: Heard) {
    this.#options = options;
    this.#host = host;
    this.#heard = heard;
    this.#frames = new Frames((moving) => this.#draw(moving));
    this.#stage = new Stage(host, () => {
      heard.resized();
      this.#frames.settle();
    });
    this.#overlay = new Overlay(host, options.theme);
    this.#scene = sceneOf(EMPTY_GRAPH, new Map(), options);
    this.#applyOptions();
  }

  get scene(): Scene {
    return this.#scene;
  }

  get viewport(): Viewport {
    return this.#viewport;
  }

  get size(): Size {
    return this.#stage.size;
  }

  /** The element that has the focus while the keyboard is used. */
  get cursor(): HTMLElement {
    return this.#overlay.cursor;
  }

  /** Follow the host's size from now on. */
  watch(): void {
    this.#stage.watch();
  }

  close(): void {
    this.#frames.stop();
    this.#stage.close();
    this.#host.replaceChildren();
  }

  setOptions(options: ViewOptions): void {
    this.#options = options;
    this.#overlay.setTheme(options.theme);
    this.#applyOptions();
  }

  setGraph(graph: Graph, positions: Positions): void {
    this.#scene = sceneOf(graph, positions, this.#options);
    this.#frames.ask();
  }

  moveTo(viewport: Viewport): void {
    this.#viewport = viewport;
    this.#frames.move();
  }

  /** Take the host's size now; a layout may just have changed it. */
  fill(): void {
    this.#stage.fill();
  }

  /** It was moved to where it stays: draw it whole at once. */
  settle(): void {
    this.#frames.settle();
  }

  /** Something else stands out, or the focus went: draw again. */
  emphasise(): void {
    this.#stage.dim(this.attention.opacity());
    this.#frames.ask();
  }

  labels(): Label[] {
    const { edgeLabel, theme, corner } = this.#options;
    const highlight = this.attention.highlight(this.#scene);
    const measure = (text: string): number => this.#stage.measure(text, theme.font);
    const only = highlight?.nodes.size ? { only: highlight } : {};
    return placeLabels(this.#scene, this.#viewport, this.#stage.size, { edgeLabel, measure, most: MOST_LABELS, corner, ...only });
  }

  /** The pointer is at a point, on something or on nothing: tell what it is. */
  point(target: Target, x: number, y: number): void {
    const { node, edge } = target;
    this.attention.hovered = target;
    this.#host.style.cursor = isThere(target) ? 'pointer' : 'grab';
    const { graph, callers, callees } = this.#scene;
    const { width, height } = this.#stage.size;
    const ofEdge = edge >= 0 ? tipOfEdge(graph.edges[edge]) : null;
    const tip = node >= 0 ? tipOfNode(graph.nodes[node], callers[node], callees[node]) : ofEdge;
    this.#overlay.setTip(tip, x, y, width, height);
  }

  hideTip(): void {
    this.#overlay.setTip(null, 0, 0, 0, 0);
  }

  /** Tell screen readers of a node. */
  say(at: number): void {
    this.#overlay.cursor.ariaLabel = this.describe(at);
    this.#overlay.say(this.describe(at));
  }

  describe(at: number): string {
    return describeNode(this.#scene.graph.nodes[at], this.#scene.callers[at], this.#scene.callees[at]);
  }

  #applyOptions(): void {
    const { theme, name } = this.#options;
    this.#host.style.background = theme.background;
    this.#host.role = 'group';
    this.#host.ariaLabel = name;
    this.#overlay.cursor.setAttribute('aria-description', 'Arrow keys go to neighbours, Enter opens, Escape goes back.');
    this.#overlay.cursor.ariaLabel = `${name}: services`;
    this.#stage.forgetMeasures();
  }

  #draw(moving: boolean): void {
    if (!this.#stage.size.width) return;
    const began = performance.now();
    const highlight = this.attention.highlight(this.#scene);
    const asPicture = this.#stage.draw(this.#scene, this.#viewport, moving, this.#options);
    this.#stage.drawTop(this.#scene, this.#viewport, highlight, this.#options);
    this.#drawText(asPicture);
    this.#heard.drawn({ ms: performance.now() - began, moving });
  }

  #drawText(moving: boolean): void {
    const { selected, hovered, cursor } = this.attention;
    this.#overlay.showLabels(!moving);
    if (!moving) this.#overlay.setLabels(this.labels(), new Set([selected.node, hovered.node]));
    const focused = this.#host.ownerDocument.activeElement === this.#overlay.cursor;
    if (cursor < 0 || !focused) this.#overlay.hideCursor();
    else {
      const { x, y } = onScreen(this.#scene, this.#viewport, cursor);
      this.#overlay.setCursor(this.describe(cursor), x, y, radiusOnScreen(this.#scene, this.#viewport, cursor));
    }
  }
}
