/** The page: holds the state, asks for what it needs, and shows it. */

import { DARK, groupings, LIGHT, TopologyView } from '@chronotope/core';
import type { Graph, Theme } from '@chronotope/core';
import { Asking, Refused } from './asking.ts';
import { filterControls, lookControls, modeControls } from './controls.ts';
import type { DetailActions } from './details.ts';
import { part, showIn } from './dom.ts';
import { Drawer } from './drawer.ts';
import { legendOf } from './legend.ts';
import { Marking } from './marking.ts';
import { announce, sayProblem } from './messages.ts';
import type { Page } from './page.ts';
import { pinControl } from './pins.ts';
import { Places } from './places.ts';
import { Playing } from './playing.ts';
import { latestData, readShown } from './reading.ts';
import type { Shown } from './reading.ts';
import { SpanReader } from './span.ts';
import { durationMs, parseState, spanOf, stateQuery, timeMs } from './state.ts';
import type { State } from './state.ts';
import { chosenTheme, rememberTheme, showTheme } from './themes.ts';
import { Timebar } from './timebar.ts';
import { formatTime, rfc3339 } from './times.ts';

const LIVE_MS = 10_000;
const RETRY_MS = 3000;
const INSETS = { left: 40, top: 68, right: 40, bottom: 30 }; // beside the drawing's controls
const LISTS = ['services', 'events', 'table'] as const;

/** Changes of these need a new graph. */
const ASKED: readonly (keyof State)[] = ['at', 'window', 'mode', 'before', 'view', 'layers', 'group', 'namespace', 'focus', 'depth', 'direction', 'colour', 'label'];
/** Changes of these show other services, so that all of them are brought onto the screen. */
const REFITTED: readonly (keyof State)[] = ['focus', 'group', 'namespace', 'depth', 'direction', 'view', 'layers'];
/** Changes of these need a new timeline. */
const SPANNED: readonly (keyof State)[] = ['at', 'window', 'range', 'until', 'view', 'layers'];
/** After changes of these it no longer stands out what depends on a service. */
const UNMARKED: readonly (keyof State)[] = ['focus', 'group', 'namespace', 'mode'];

export class App implements Page {
  #state: State;
  #theme: Theme;
  #shown: Shown | null = null;
  /** The state that what is shown answers. */
  #asked: State;
  #whole: Graph = { nodes: [], edges: [] };
  #retry: ReturnType<typeof setTimeout> | undefined;
  readonly asking = new Asking((busy) => (part('busy').hidden = !busy));
  readonly #span = new SpanReader(this.asking);
  readonly #playing = new Playing(this, () => this.#render());
  readonly #marking = new Marking(this);
  readonly #storage: Storage | null;
  readonly #places: Places;
  readonly #view: TopologyView;
  readonly #bar: Timebar;
  readonly #drawer: Drawer;

  constructor(storage: Storage | null) {
    this.#state = parseState(location.search);
    this.#asked = this.#state;
    this.#theme = chosenTheme(storage);
    this.#storage = storage;
    this.#places = new Places(this.asking, storage);
    this.#view = new TopologyView(part('drawing'), { theme: this.#theme, insets: INSETS, name: 'Topology' });
    this.#bar = new Timebar(part('timeline'), (ms, done) => this.#playing.slide(ms, done));
    this.#drawer = new Drawer(this, this.#actions);
    this.#listen();
    showTheme(this.#theme);
  }

  get state(): State {
    return this.#state;
  }

  get shown(): Shown | null {
    return this.#shown;
  }

  get theme(): Theme {
    return this.#theme;
  }

  /** Whoever drives the page asks it where services are on the screen, and what is drawn. */
  get view(): TopologyView {
    return this.#view;
  }

  start(): void {
    this.#render();
    this.#reload();
    setInterval(() => {
      if (this.#state.at !== 'now' || document.hidden || this.#playing.running || this.asking.waitsFor('graph')) return;
      this.#reload();
    }, LIVE_MS);
  }

  #reload(refit = false): void {
    void this.#load(refit);
    void this.#loadSpan(true);
  }

  readonly change = (change: Partial<State>): void => {
    const before = this.#state;
    this.#state = { ...before, ...change };
    const changed = (names: readonly (keyof State)[]): boolean => names.some((name) => String(before[name]) !== String(this.#state[name]));
    const query = stateQuery(this.#state);
    history.replaceState(null, '', query ? `?${query}` : location.pathname);
    if (changed(UNMARKED)) this.#marking.clear();
    this.#render();
    if (changed(ASKED)) void this.#load(changed(REFITTED));
    if (changed(SPANNED)) void this.#loadSpan(false);
  };

  async #load(refit = false): Promise<void> {
    try {
      const state = this.#state;
      const shown = await readShown(this.asking, state);
      if (!shown) return;
      await this.#places.complete(shown);
      this.#shown = shown;
      this.#asked = state;
      if (!state.focus && !state.namespace && !shown.grouping) this.#whole = shown.graph;
      sayProblem('');
      this.#draw(refit);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Say what went wrong, and from when that is which is still drawn. A server that is gone is asked again. */
  #fail(error: unknown): void {
    clearTimeout(this.#retry);
    if (!(error instanceof Refused) || error.status) {
      sayProblem(error);
      return;
    }
    const drawn = this.#shown ? ` What is drawn is from ${formatTime(this.#shown.at)} UTC.` : '';
    sayProblem(`${error.message}${drawn} It is asked again every ${RETRY_MS / 1000} seconds.`);
    this.#retry = setTimeout(() => this.#reload(), RETRY_MS);
  }

  async #loadSpan(always: boolean): Promise<void> {
    try {
      const span = await this.#span.read(this.#state, always);
      if (!span) return;
      this.#bar.setTimeline(span.timeline, span.changes);
      this.#bar.setMarks(span.events.filter(({ told }) => told));
      this.#drawer.events = span.events;
      this.#renderTime();
      if (this.#state.panel === 'events') this.#drawer.render();
    } catch (error) {
      this.#fail(error);
    }
  }

  #draw(refit: boolean): void {
    const shown = this.#shown;
    if (!shown) return;
    const colourBy = this.#state.mode === 'diff' ? 'status' : this.#state.colour;
    const legend = part('legend');
    legend.hidden = shown.graph.nodes.length === 0;
    legend.replaceChildren(...legendOf(shown.graph, colourBy, this.#theme));
    const corner = { width: legend.offsetWidth && legend.offsetWidth + 32, height: legend.offsetHeight && legend.offsetHeight + 28 };
    this.#view.setOptions({ colourBy, edgeLabel: this.#state.label, corner, name: `Topology, ${shown.summary}` });
    const first = this.#view.graph.nodes.length === 0;
    this.#view.setGraph(shown.graph, this.#places.of(shown, this.#asked));
    if (this.#state.select) this.#view.select(this.#state.select);
    this.#marking.render();
    this.#render();
    this.#drawer.render(); // before the view is fitted: it takes some of the space
    if (refit || first) this.#view.fit();
  }

  #render(): void {
    const state = this.#state;
    part('modes').replaceChildren(...modeControls(state, this.#shown?.at ?? Date.now(), this.change));
    part('looks').replaceChildren(...lookControls(state, groupings(this.#whole), this.change), this.#pinControl());
    part('filters').replaceChildren(...filterControls(state, this.change));
    part<HTMLInputElement>('search').value = state.search;
    for (const name of LISTS) part(`show-${name}`).setAttribute('aria-pressed', String(state.panel === name));
    part('play').textContent = this.#playing.running ? 'Pause' : 'Play';
    part('live').setAttribute('aria-pressed', String(state.at === 'now'));
    showIn(part('range'), state.range);
    const empty = this.#shown !== null && this.#shown.graph.nodes.length === 0;
    part('empty').hidden = !empty;
    part('drawing').classList.toggle('vacant', empty);
    part('note').textContent = this.#shown?.note ?? '';
    part('summary').textContent = this.#shown?.summary ?? '';
    this.#renderTime();
  }

  #renderTime(): void {
    const now = Date.now();
    const { from, to } = spanOf(this.#state, now);
    const wanted = this.#state.at === 'now' ? (this.#shown?.at ?? now) : timeMs(this.#state.at, now);
    const at = Number.isNaN(wanted) ? to : wanted;
    const windowMs = durationMs(this.#state.window);
    this.#bar.set({ from, to, at: Math.min(at, to), windowMs, before: this.#shown?.before ?? NaN, live: this.#state.at === 'now' });
    part('time').textContent = `${formatTime(at)} UTC`;
  }

  #pinControl(): HTMLElement {
    return pinControl(this.#places.moved, () => {
      this.#places.putBack();
      this.#draw(false);
    });
  }

  readonly #pick = (id: string): void => {
    this.#view.select(id || null);
    if (id) this.#view.reveal(id);
    this.#marking.clear();
    this.change({ select: id });
    this.#marking.render();
    this.#drawer.render();
  };

  readonly #actions: DetailActions = {
    select: this.#pick,
    focus: (id) => this.change({ focus: id, depth: 1, direction: 'both' }),
    open: (namespace) => this.change({ namespace, group: '', select: '' }),
    blast: (id) => void this.#marking.blastRadius(id),
    close: () => this.#pick(''),
  };

  #listen(): void {
    const click = (id: string, act: () => void): void => part(id).addEventListener('click', act);
    click('play', () => this.#playing.toggle());
    click('earlier', () => this.#playing.step(this.#bar, false));
    click('later', () => this.#playing.step(this.#bar, true));
    click('live', () => this.change({ at: 'now', until: 'now' }));
    click('fit', () => this.#view.fit());
    click('closer', () => this.#view.zoomBy(1.35));
    click('farther', () => this.#view.zoomBy(1 / 1.35));
    click('theme', () => this.#toggleTheme());
    click('latest', () => void this.#goToLatest());
    for (const name of LISTS) click(`show-${name}`, () => this.#drawer.show(name));
    const range = part<HTMLSelectElement>('range');
    range.addEventListener('change', () => this.change({ range: range.value }));
    this.#listenSearch(part<HTMLInputElement>('search'));
    this.#listenView();
    addEventListener('popstate', () => {
      this.#state = parseState(location.search);
      this.#reload(true);
    });
  }

  #listenView(): void {
    this.#view.on('select', (selection) => this.#pick(selection?.node?.id ?? selection?.edge?.id ?? ''));
    this.#view.on('open', ({ node }) => {
      if (!node) return;
      if (node.members === undefined) this.#actions.focus(node.id);
      else this.#actions.open(node.attributes.namespace ?? node.id);
    });
    this.#view.on('pin', ({ id, x, y }) => {
      this.#places.move(id, x, y);
      this.#render();
    });
  }

  #listenSearch(search: HTMLInputElement): void {
    search.addEventListener('input', () => {
      this.#marking.clear();
      this.change({ search: search.value.trim() });
      this.#marking.render();
      this.#drawer.render();
    });
    search.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter') return;
      const found = this.#marking.found();
      if (found?.length === 1) this.#pick(found[0]);
      if (!found) this.#view.fit();
      else if (found.length) this.#view.fit(found);
    });
  }

  async #goToLatest(): Promise<void> {
    const found = await latestData(this.asking, Date.now());
    if (found === null) announce('The store is empty: nothing was ever seen.');
    else this.change({ at: rfc3339(found), until: rfc3339(found) });
  }

  #toggleTheme(): void {
    this.#theme = this.#theme.dark ? LIGHT : DARK;
    rememberTheme(this.#storage, this.#theme);
    showTheme(this.#theme);
    this.#view.setOptions({ theme: this.#theme });
    this.#render();
    this.#draw(false);
  }
}
