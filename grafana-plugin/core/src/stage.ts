/**
 * The two canvases of a view: below the whole scene, above it what stands out. Owns their size and their pixels.
 *
 * Invariant: a heavy scene that moves is moved as a picture, and is drawn again when it rests.
 */

import { begin, paintHighlight, paintScene } from './paint.ts';
import type { Highlight } from './paint.ts';
import type { Scene, SceneOptions } from './scene.ts';
import type { Size, Viewport } from './viewport.ts';

const MARGIN = 96; // pixels drawn beyond the screen: what comes in while a heavy scene is moved as a picture
const HEAVY = 1500; // lines from which a moving scene is moved as a picture

export class Stage {
  #size: Size = { width: 0, height: 0 };
  #drawn: Viewport = { scale: 1, x: 0, y: 0 };
  readonly #watching: ResizeObserver;
  readonly #host: HTMLElement;
  readonly #base: HTMLCanvasElement;
  readonly #top: HTMLCanvasElement;
  readonly #measured = new Map<string, number>();

  /** `resized` hears when the host has got another size. */
  constructor(
    host: HTMLElement,
    private readonly resized: () => void,
  ) {
    this.#host = host;
    this.#base = this.#canvas('base');
    this.#top = this.#canvas('top');
    this.#watching = new ResizeObserver(() => this.fill());
  }

  get size(): Size {
    return this.#size;
  }

  /** Follow the host's size from now on. */
  watch(): void {
    this.#watching.observe(this.#host);
    this.fill();
  }

  close(): void {
    this.#watching.disconnect();
  }

  /** Take the host's size, if it has changed. */
  fill(): void {
    const size = { width: this.#host.clientWidth, height: this.#host.clientHeight };
    if (size.width === this.#size.width && size.height === this.#size.height) return;
    this.#size = size;
    const [width, height] = [size.width + 2 * MARGIN, size.height + 2 * MARGIN];
    for (const canvas of [this.#base, this.#top]) {
      canvas.width = Math.round(width * this.#ratio());
      canvas.height = Math.round(height * this.#ratio());
      Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    }
    this.resized();
  }

  /** Draw a scene; true when it was only moved as a picture. */
  draw(scene: Scene, view: Viewport, moving: boolean, looks: SceneOptions): boolean {
    if (moving && scene.edgeLines.length > HEAVY) {
      this.#movePicture(view);
      return true;
    }
    const context = this.#base.getContext('2d');
    if (!context) return false;
    const shown = begin(context, view, this.#size, this.#ratio(), MARGIN);
    paintScene(context, scene, view, shown, looks);
    this.#base.style.transform = '';
    this.#drawn = view;
    return false;
  }

  /** Draw what stands out, above the scene. */
  drawTop(scene: Scene, view: Viewport, highlight: Highlight | null, looks: SceneOptions): void {
    const context = this.#top.getContext('2d');
    if (!context) return;
    begin(context, view, this.#size, this.#ratio(), MARGIN);
    if (highlight) paintHighlight(context, scene, view, highlight, looks);
  }

  /** Dim the scene below what stands out. The compositor does it: nothing is drawn again. */
  dim(opacity: number): void {
    this.#base.style.opacity = String(opacity);
  }

  /** Width of a name in pixels. */
  measure(text: string, font: string): number {
    const known = this.#measured.get(text);
    if (known !== undefined) return known;
    const context = this.#top.getContext('2d');
    if (!context) return text.length * 7;
    context.font = `600 12px ${font}`;
    const { width } = context.measureText(text);
    this.#measured.set(text, width);
    return width;
  }

  /** Names may have another font from now on. */
  forgetMeasures(): void {
    this.#measured.clear();
  }

  #canvas(part: string): HTMLCanvasElement {
    const canvas = this.#host.ownerDocument.createElement('canvas');
    canvas.dataset.part = part;
    canvas.ariaHidden = 'true';
    Object.assign(canvas.style, { position: 'absolute', left: `${-MARGIN}px`, top: `${-MARGIN}px`, transformOrigin: '0 0' });
    this.#host.append(canvas);
    return canvas;
  }

  #ratio(): number {
    return Math.min(this.#host.ownerDocument.defaultView?.devicePixelRatio ?? 1, 2);
  }

  /** Move what was drawn, as a picture. */
  #movePicture(view: Viewport): void {
    const by = view.scale / this.#drawn.scale;
    const x = view.x - this.#drawn.x * by + MARGIN * (1 - by);
    const y = view.y - this.#drawn.y * by + MARGIN * (1 - by);
    this.#base.style.transform = `translate(${x}px,${y}px) scale(${by})`;
  }
}
