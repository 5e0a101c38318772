/**
 * What of the drawing is HTML: names, the tip under the pointer, the keyboard's cursor, and what is said to screen
 * readers. Styles are set through the object model: a strict content security policy allows that, and no style sheet
 * is needed where the view is embedded.
 */

import { LABEL_HEIGHT } from './labels.ts';
import type { Label } from './labels.ts';
import type { Theme } from './theme.ts';

export interface TipLine {
  readonly name: string;
  readonly value: string;
}

export interface Tip {
  readonly title: string;
  readonly lines: readonly TipLine[];
}

const HIDDEN = {
  position: 'absolute', width: '1px', height: '1px', overflow: 'hidden', clipPath: 'inset(50%)', whiteSpace: 'nowrap',
} as const; // prettier-ignore

export class Overlay {
  readonly cursor: HTMLButtonElement;
  readonly #labels: HTMLDivElement;
  readonly #tip: HTMLDivElement;
  readonly #live: HTMLDivElement;
  readonly #pool: HTMLSpanElement[] = [];
  #shown = 0;
  #theme: Theme;

  constructor(host: HTMLElement, theme: Theme) {
    this.#theme = theme;
    const make = <K extends keyof HTMLElementTagNameMap>(name: K, part: string): HTMLElementTagNameMap[K] => {
      const element = host.ownerDocument.createElement(name);
      element.dataset.part = part;
      host.append(element);
      return element;
    };
    this.#labels = make('div', 'labels');
    this.cursor = make('button', 'cursor');
    this.#tip = make('div', 'tip');
    this.#live = make('div', 'live');
    this.#labels.ariaHidden = 'true';
    Object.assign(this.#labels.style, { position: 'absolute', inset: '0', overflow: 'hidden', pointerEvents: 'none' });
    this.cursor.type = 'button';
    this.#live.setAttribute('aria-live', 'polite');
    Object.assign(this.#live.style, HIDDEN);
    this.#tip.hidden = true;
    this.setTheme(theme);
  }

  setTheme(theme: Theme): void {
    this.#theme = theme;
    Object.assign(this.#labels.style, { font: `500 12px/${LABEL_HEIGHT}px ${theme.font}`, color: theme.text });
    Object.assign(this.cursor.style, {
      position: 'absolute', left: '0', top: '0', padding: '0', background: 'none', border: 'none', borderRadius: '50%',
      pointerEvents: 'none', width: '1px', height: '1px', opacity: '0', outline: 'none',
    }); // prettier-ignore
    Object.assign(this.#tip.style, {
      position: 'absolute', left: '0', top: '0', pointerEvents: 'none', maxWidth: '320px', padding: '8px 12px',
      font: `12px/1.5 ${theme.font}`, color: theme.text, background: theme.surface, borderRadius: '8px', zIndex: '3',
      border: `1px solid ${theme.dark ? '#333d50' : '#dfe3ea'}`, boxShadow: '0 6px 24px rgba(0,0,0,.18)',
      overflowWrap: 'anywhere',
    }); // prettier-ignore
    this.#pool.length = 0;
    this.#labels.replaceChildren();
    this.#shown = 0;
  }

  /** Show these labels and no others. */
  setLabels(labels: readonly Label[], strong: ReadonlySet<number>): void {
    while (this.#pool.length < labels.length) this.#pool.push(this.#newLabel());
    labels.forEach((label, slot) => {
      const span = this.#pool[slot];
      const kind = `${label.of}${label.of === 'node' && strong.has(label.at) ? ' strong' : ''}`;
      if (span.textContent !== label.text) span.textContent = label.text;
      if (span.dataset.label !== kind) this.#dress(span, kind);
      span.style.transform = `translate(${label.x.toFixed(1)}px,${label.y.toFixed(1)}px) translate(-50%,-50%)`;
      if (slot >= this.#shown) span.style.display = '';
    });
    for (let slot = labels.length; slot < this.#shown; slot++) this.#pool[slot].style.display = 'none';
    this.#shown = labels.length;
    this.#labels.style.transform = '';
  }

  /** Move all labels together, until they are placed anew. */
  shiftLabels(dx: number, dy: number): void {
    this.#labels.style.transform = `translate(${dx}px,${dy}px)`;
  }

  showLabels(shown: boolean): void {
    this.#labels.style.visibility = shown ? '' : 'hidden';
  }

  /** Show or hide the tip beside a point. */
  setTip(tip: Tip | null, x: number, y: number, width: number, height: number): void {
    this.#tip.hidden = tip === null;
    if (!tip) return;
    const document = this.#tip.ownerDocument;
    const title = document.createElement('div');
    title.textContent = tip.title;
    title.style.fontWeight = '600';
    const rows = tip.lines.map(({ name, value }) => {
      const row = document.createElement('div');
      const label = document.createElement('span');
      label.textContent = `${name} `;
      label.style.color = this.#theme.muted;
      row.append(label, value);
      return row;
    });
    this.#tip.replaceChildren(title, ...rows);
    const [wide, high] = [this.#tip.offsetWidth, this.#tip.offsetHeight];
    const left = x + 16 + wide > width ? Math.max(4, x - wide - 12) : x + 16;
    const top = Math.max(4, Math.min(y + 14, height - high - 4));
    this.#tip.style.transform = `translate(${Math.round(left)}px,${Math.round(top)}px)`;
  }

  /** Put the keyboard's cursor around a point; its name is what screen readers read. */
  setCursor(name: string, x: number, y: number, radius: number): void {
    const ring = Math.max(radius + 6, 10);
    this.cursor.ariaLabel = name;
    Object.assign(this.cursor.style, {
      width: `${ring * 2}px`,
      height: `${ring * 2}px`,
      opacity: '1',
      transform: `translate(${x - ring}px,${y - ring}px)`,
      boxShadow: `0 0 0 3px ${this.#theme.accent}`,
    });
  }

  hideCursor(): void {
    this.cursor.style.opacity = '0';
  }

  say(text: string): void {
    this.#live.textContent = text;
  }

  #newLabel(): HTMLSpanElement {
    const span = this.#labels.ownerDocument.createElement('span');
    Object.assign(span.style, { position: 'absolute', left: '0', top: '0', whiteSpace: 'nowrap', display: 'none' });
    this.#labels.append(span);
    return span;
  }

  #dress(span: HTMLSpanElement, kind: string): void {
    const { background, surface, muted, text } = this.#theme;
    span.dataset.label = kind;
    const edge = kind === 'edge';
    const halo = `0 0 3px ${background}`;
    Object.assign(span.style, {
      color: edge ? muted : text,
      fontWeight: kind.endsWith('strong') ? '700' : edge ? '400' : '500',
      fontSize: edge ? '11px' : '12px',
      background: edge ? surface : 'none',
      borderRadius: '8px',
      padding: edge ? '0 5px' : '0',
      textShadow: edge ? 'none' : [halo, halo, halo, halo].join(),
    });
  }
}
