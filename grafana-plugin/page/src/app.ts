/** The page: holds the state, asks for what it needs, and shows it. */

import { DARK, groupings, LIGHT, TopologyView } from '@chronotope/core';
import type { Graph, Positions, Selection, Theme } from '@chronotope/core';
import { Asking, Refused } from './asking.ts';
import { filterControls, lookControls, modeControls } from './controls.ts';
import { addSeries, edgeDetails, neighboursTables, seriesOf, serviceDetails } from './details.ts';
import type { DetailActions } from './details.ts';
import { h, part } from './dom.ts';
import { legendOf } from './legend.ts';
import { eventsList, eventsOf, graphTable, servicesList } from './lists.ts';
import type { TopologyEvent } from './lists.ts';
import { Pins } from './pins.ts';
import { latestData, readPositions, readShown, spanQuery } from './reading.ts';
import type { Shown } from './reading.ts';
import { changeStep, durationMs, parseState, spanOf, stateQuery, timeMs, windowQuery } from './state.ts';
import type { State } from './state.ts';
import { changesOf, nextChange, Timebar, timelineOf } from './timebar.ts';
import { formatTime, rfc3339 } from './times.ts';

const LIVE_MS = 10_000;
const PLAY_MS = 900;
const PLAY_STEPS = 60;
const MOST_SERIES = 8;

/** Changes of these need a new graph. */
const ASKED: readonly (keyof State)[] = ['at', 'window', 'mode', 'before', 'view', 'layers', 'group', 'namespace', 'focus', 'depth', 'direction', 'colour', 'label'];
/** Changes of these need a new timeline. */
const SPANNED: readonly (keyof State)[] = ['at', 'window', 'range', 'until', 'view', 'layers'];

export class App {
  #state: State;
  #theme: Theme;
  #shown: Shown | null = null;
  #whole: Graph = { nodes: [], edges: [] };
  #events: TopologyEvent[] = [];
  #playing: ReturnType<typeof setInterval> | undefined;
  #span = '';
  #blast: ReadonlySet<string> | null = null;
  readonly #asking = new Asking((busy) => (part('busy').hidden = !busy));
  readonly #positions = new Map<string, Positions>();
  readonly #pins: Pins;
  readonly #view: TopologyView;
  readonly #bar: Timebar;

  constructor(storage: Storage | null) {
    this.#state = parseState(location.search);
    this.#theme = this.#chosenTheme(storage);
    this.#pins = new Pins(storage);
    const insets = { left: 40, top: 68, right: 40, bottom: 30 };
    this.#view = new TopologyView(part('drawing'), { theme: this.#theme, insets, name: 'Topology' });
    this.#bar = new Timebar(part('timeline'), (ms, done) => this.#slide(ms, done));
    this.#listen(storage);
    this.#showTheme();
  }

  /** For whoever drives the page: where services are on the screen, and what is drawn. */
  get view(): TopologyView {
    return this.#view;
  }

  start(): void {
    this.#render();
    void this.#load();
    void this.#loadSpan(true);
    setInterval(() => {
      if (this.#state.at !== 'now' || document.hidden || this.#playing) return;
      void this.#load();
      void this.#loadSpan(true);
    }, LIVE_MS);
  }

  #change = (change: Partial<State>): void => {
    const before = this.#state;
    this.#state = { ...before, ...change };
    const changed = (names: readonly (keyof State)[]): boolean => names.some((name) => String(before[name]) !== String(this.#state[name]));
    const query = stateQuery(this.#state);
    history.replaceState(null, '', query ? `?${query}` : location.pathname);
    if (changed(['focus', 'group', 'namespace', 'mode'])) this.#blast = null;
    this.#render();
    if (changed(ASKED)) void this.#load(changed(['focus', 'group', 'namespace', 'depth', 'direction', 'view', 'layers']));
    if (changed(SPANNED)) void this.#loadSpan(false);
  };

  async #load(refit = false): Promise<void> {
    try {
      const shown = await readShown(this.#asking, this.#state);
      if (!shown) return;
      await this.#placesFor(shown);
      this.#shown = shown;
      if (!this.#state.focus && !this.#state.namespace && !shown.grouping) this.#whole = shown.graph;
      this.#say('');
      this.#draw(refit);
    } catch (error) {
      this.#say(error instanceof Refused ? error.message : String(error));
    }
  }

  /** Ask for places when the graph has a service without one. */
  async #placesFor(shown: Shown): Promise<void> {
    const known = this.#positions.get(shown.grouping);
    if (known && shown.graph.nodes.every(({ id }) => known.has(id))) return;
    const found = await readPositions(this.#asking, shown.grouping);
    if (found) this.#positions.set(shown.grouping, found);
  }

  #draw(refit: boolean): void {
    const shown = this.#shown;
    if (!shown) return;
    const colourBy = this.#state.mode === 'diff' ? 'status' : this.#state.colour;
    const positions = this.#pins.over(shown.grouping, this.#positions.get(shown.grouping) ?? new Map());
    const legend = part('legend');
    legend.hidden = shown.graph.nodes.length === 0;
    legend.replaceChildren(...legendOf(shown.graph, colourBy, this.#theme));
    const corner = { width: legend.offsetWidth && legend.offsetWidth + 32, height: legend.offsetHeight && legend.offsetHeight + 28 };
    this.#view.setOptions({ colourBy, edgeLabel: this.#state.label, corner, name: `Topology, ${shown.summary}` });
    const first = this.#view.graph.nodes.length === 0;
    this.#view.setGraph(shown.graph, positions);
    if (this.#state.select) this.#view.select(this.#state.select);
    this.#mark();
    this.#render();
    this.#renderDrawer(); // before the view is fitted: it takes some of the space
    if (refit || first) this.#view.fit();
  }

  async #loadSpan(always: boolean): Promise<void> {
    const query = spanQuery(this.#state, Date.now());
    const wanted = JSON.stringify([query, windowQuery(this.#state)]);
    if (!always && wanted === this.#span) return;
    this.#span = wanted;
    const { view, layers } = windowQuery(this.#state);
    try {
      const asked = { ...query, view, ...(layers ? { layers } : {}) };
      const [timeline, changes, events] = await Promise.all([
        this.#asking.ask('timeline', 'api/v1/timeline', asked),
        this.#asking.ask('changes', 'api/v1/timeline', { ...asked, step: changeStep(this.#state) }),
        this.#asking.ask('events', 'api/v1/events', query),
      ]);
      if (timeline && changes) this.#bar.setTimeline(timelineOf(timeline), changesOf(timelineOf(changes)));
      if (events) this.#events = eventsOf(events);
      this.#bar.setMarks(this.#events.filter(({ told }) => told));
      this.#renderTime();
      if (this.#state.panel === 'events') this.#renderDrawer();
    } catch (error) {
      this.#say(error instanceof Refused ? error.message : String(error));
    }
  }

  #slide(ms: number, done: boolean): void {
    this.#stop();
    const { to } = spanOf(this.#state, Date.now());
    const live = done && this.#state.until === 'now' && ms >= to - 10_000;
    this.#change({ at: live ? 'now' : rfc3339(ms), until: this.#heldUntil() });
  }

  /** While the past is looked at, the slider's end stays where it is. */
  #heldUntil(): string {
    return this.#state.until === 'now' && this.#state.at === 'now' ? 'now' : this.#state.until;
  }

  #step(forward: boolean): void {
    this.#stop();
    const at = this.#shown?.at ?? Date.now();
    const found = nextChange(this.#bar.changes, at, forward);
    if (found === null) this.#announce(`No ${forward ? 'later' : 'earlier'} change in the last ${this.#state.range}.`);
    else this.#change({ at: rfc3339(found) });
  }

  #play(): void {
    if (this.#playing) {
      this.#stop();
      return;
    }
    const { from, to } = spanOf(this.#state, Date.now());
    const step = Math.max(10_000, Math.round((to - from) / PLAY_STEPS / 10_000) * 10_000);
    let at = this.#state.at === 'now' ? from : timeMs(this.#state.at, Date.now());
    this.#playing = setInterval(() => {
      at += step;
      if (at >= to) this.#stop();
      this.#change({ at: rfc3339(Math.min(at, to)) });
    }, PLAY_MS);
    this.#render();
  }

  #stop(): void {
    clearInterval(this.#playing);
    this.#playing = undefined;
    this.#render();
  }

  #render(): void {
    const state = this.#state;
    part('modes').replaceChildren(...modeControls(state, this.#shown?.at ?? Date.now(), this.#change));
    part('looks').replaceChildren(...lookControls(state, groupings(this.#whole), this.#change), this.#pinControl());
    part('filters').replaceChildren(...filterControls(state, this.#change));
    part<HTMLInputElement>('search').value = state.search;
    for (const name of ['services', 'events', 'table'] as const) part(`show-${name}`).setAttribute('aria-pressed', String(state.panel === name));
    part('play').textContent = this.#playing ? 'Pause' : 'Play';
    part('live').setAttribute('aria-pressed', String(state.at === 'now'));
    part<HTMLSelectElement>('range').value = state.range;
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
    const grouping = this.#shown?.grouping ?? '';
    const count = this.#pins.count(grouping);
    const reset = (): void => {
      this.#pins.clear(grouping);
      this.#draw(false);
    };
    return count ? h('button', { type: 'button', onclick: reset }, `Put ${count} moved ${count === 1 ? 'service' : 'services'} back`) : h('span', { class: 'note' }, 'Drag a service to move it: its place is remembered.');
  }

  #renderDrawer(): void {
    const { panel, select } = this.#state;
    const drawer = part('drawer');
    const table = panel === 'table' && this.#shown !== null;
    part('sheet').hidden = !table;
    if (table && this.#shown) part('sheet').replaceChildren(graphTable(this.#shown.graph, (id) => this.#change({ select: id, panel: 'none' })));
    const selected = this.#view.selection;
    if (select && selected) this.#renderDetails(selected);
    else if (panel === 'services' && this.#shown) drawer.replaceChildren(this.#listHeader('Services'), servicesList(this.#shown.graph, this.#state.search, (id) => this.#pick(id)));
    else if (panel === 'events') drawer.replaceChildren(this.#listHeader('Changes and events'), eventsList(this.#events, Date.now(), (event) => this.#openEvent(event)));
    else drawer.replaceChildren();
    drawer.hidden = drawer.childElementCount === 0;
    document.body.classList.toggle('drawn', !drawer.hidden);
  }

  #listHeader(title: string): HTMLElement {
    const close = h('button', { type: 'button', class: 'close', 'aria-label': `Close ${title.toLowerCase()}`, onclick: () => this.#show('none') }, '×');
    return h('header', {}, h('h2', {}, title), close);
  }

  #renderDetails(selected: NonNullable<Selection>): void {
    const drawer = part('drawer');
    const same = drawer.dataset.of === this.#state.select && drawer.childElementCount > 0;
    const more = same ? [...part('more').childNodes] : [];
    const grouped = Boolean(this.#shown?.grouping);
    drawer.dataset.of = this.#state.select;
    drawer.replaceChildren(selected.node ? serviceDetails(selected.node, this.#theme, grouped, this.#actions) : edgeDetails(selected.edge, Date.now(), this.#actions));
    // What was asked for a moment ago stays until the new answer is there: nothing flickers.
    part('more').replaceChildren(...more);
    if (!selected.node?.members) void this.#loadDetails(selected);
  }

  async #loadDetails(selected: NonNullable<Selection>): Promise<void> {
    const of = this.#state.select;
    try {
      const found = selected.node ? await this.#serviceMore(selected.node.id) : [await this.#series([selected.edge.id], '')];
      if (of !== this.#state.select || found.some((own) => own === null)) return;
      document.getElementById('more')?.replaceChildren(...found.filter((own) => own !== null));
    } catch (error) {
      document.getElementById('more')?.replaceChildren(h('p', { class: 'note' }, error instanceof Error ? error.message : String(error)));
    }
  }

  async #serviceMore(id: string): Promise<(HTMLElement | null)[]> {
    const query = { ...windowQuery(this.#state), at: this.#state.at, measures: 'full' };
    const answer = (await this.#asking.ask('service', `api/v1/services/${encodeURIComponent(id)}`, query)) as {
      callers: { id: string; evidence: Record<string, { calls?: number }> }[];
      callees: { id: string; evidence: Record<string, { calls?: number }> }[];
    } | null;
    if (!answer) return [null];
    const side = answer.callers.length ? 'callers' : 'callees';
    const worth = ({ evidence }: { evidence: Record<string, { calls?: number }> }): number => (evidence.ipc ?? evidence.trace)?.calls ?? 0;
    const busiest = [...answer[side]].sort((a, b) => worth(b) - worth(a)).slice(0, MOST_SERIES);
    const left = answer[side].length > busiest.length ? `its ${MOST_SERIES} busiest ${side}` : `all its ${side}`;
    const series = busiest.length ? await this.#series(busiest.map((edge) => edge.id), `${side === 'callers' ? 'From' : 'To'} ${left}`) : null;
    return busiest.length && !series ? [null] : [...(series ? [series] : []), ...neighboursTables(answer, this.#actions)];
  }

  async #series(edges: readonly string[], note: string): Promise<HTMLElement | null> {
    const { view, layers } = windowQuery(this.#state);
    const query = { ...spanQuery(this.#state, Date.now()), view, ...(layers ? { layers } : {}) };
    const answers = await Promise.all(edges.map((id, at) => this.#asking.ask(`series ${at}`, `api/v1/edges/${id}`, query)));
    if (answers.some((answer) => answer === null)) return null;
    const shownMs = this.#shown?.at ?? Date.now();
    return seriesOf(addSeries(answers, shownMs, note));
  }

  readonly #actions: DetailActions = {
    select: (id) => this.#pick(id),
    focus: (id) => this.#change({ focus: id, depth: 1, direction: 'both' }),
    open: (namespace) => this.#change({ namespace, group: '', select: '' }),
    blast: (id) => void this.#blastRadius(id),
    close: () => this.#pick(''),
  };

  #pick(id: string): void {
    this.#view.select(id || null);
    if (id) this.#view.reveal(id);
    this.#blast = null;
    this.#change({ select: id });
    this.#mark();
    this.#renderDrawer();
  }

  async #blastRadius(id: string): Promise<void> {
    try {
      const answer = (await this.#asking.ask('blast', `api/v1/services/${encodeURIComponent(id)}/blast-radius`, { at: this.#state.at, window: this.#state.window })) as {
        callers: { service: string; hops: number }[];
        totals: { callers: number; direct: number };
      } | null;
      if (!answer) return;
      this.#view.select(null);
      this.#blast = new Set([id, ...answer.callers.map(({ service }) => service)]);
      this.#mark();
      this.#announce(answer.callers.length ? `${answer.totals.callers} services depend on ${id}, ${answer.totals.direct} of them directly.` : `No service depends on ${id}.`);
    } catch (error) {
      this.#say(error instanceof Error ? error.message : String(error));
    }
  }

  /** Let stand out what a search found, or what depends on a service. */
  #mark(): void {
    const search = this.#state.search.toLowerCase();
    const found = search ? (this.#shown?.graph.nodes ?? []).filter(({ id }) => id.toLowerCase().includes(search)).map(({ id }) => id) : null;
    this.#view.mark(this.#blast ?? found);
    part('found').textContent = found ? `${found.length} found` : '';
  }

  #openEvent(event: TopologyEvent): void {
    this.#change({ at: rfc3339(event.ms + durationMs(this.#state.window) / 2), select: event.subject });
  }

  #show(panel: State['panel']): void {
    this.#view.select(null);
    this.#change({ panel: this.#state.panel === panel ? 'none' : panel, select: '' });
    this.#renderDrawer();
  }

  #listen(storage: Storage | null): void {
    const click = (id: string, act: () => void): void => part(id).addEventListener('click', act);
    click('play', () => this.#play());
    click('earlier', () => this.#step(false));
    click('later', () => this.#step(true));
    click('live', () => this.#change({ at: 'now', until: 'now' }));
    click('fit', () => this.#view.fit());
    click('closer', () => this.#view.zoomBy(1.35));
    click('farther', () => this.#view.zoomBy(1 / 1.35));
    click('theme', () => this.#toggleTheme(storage));
    click('latest', () => void this.#goToLatest());
    for (const name of ['services', 'events', 'table'] as const) click(`show-${name}`, () => this.#show(name));
    const range = part<HTMLSelectElement>('range');
    range.addEventListener('change', () => this.#change({ range: range.value }));
    this.#listenSearch(part<HTMLInputElement>('search'));
    this.#view.on('select', (selection) => this.#pick(selection?.node?.id ?? selection?.edge?.id ?? ''));
    this.#view.on('open', ({ node }) => {
      if (node) (node.members === undefined ? this.#actions.focus : this.#actions.open)(node.members === undefined ? node.id : (node.attributes.namespace ?? node.id));
    });
    this.#view.on('pin', ({ id, x, y }) => {
      this.#pins.set(this.#shown?.grouping ?? '', id, x, y);
      this.#render();
    });
    addEventListener('popstate', () => {
      this.#state = parseState(location.search);
      void this.#load(true);
      void this.#loadSpan(true);
    });
  }

  #listenSearch(search: HTMLInputElement): void {
    search.addEventListener('input', () => {
      this.#blast = null;
      this.#change({ search: search.value.trim() });
      this.#mark();
      this.#renderDrawer();
    });
    search.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter') return;
      const wanted = this.#state.search.toLowerCase();
      const found = (this.#shown?.graph.nodes ?? []).filter(({ id }) => id.toLowerCase().includes(wanted)).map(({ id }) => id);
      if (found.length === 1) this.#pick(found[0]);
      if (found.length) this.#view.fit(found);
    });
  }

  async #goToLatest(): Promise<void> {
    const found = await latestData(this.#asking, Date.now());
    if (found === null) this.#announce('The store is empty: nothing was ever seen.');
    else this.#change({ at: rfc3339(found), until: rfc3339(found) });
  }

  #chosenTheme(storage: Storage | null): Theme {
    const chosen = storage?.getItem('chronotope.theme');
    const dark = chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
    return dark ? DARK : LIGHT;
  }

  #toggleTheme(storage: Storage | null): void {
    this.#theme = this.#theme.dark ? LIGHT : DARK;
    storage?.setItem('chronotope.theme', this.#theme.dark ? 'dark' : 'light');
    this.#showTheme();
    this.#view.setOptions({ theme: this.#theme });
    this.#render();
    this.#draw(false);
  }

  #showTheme(): void {
    document.documentElement.dataset.theme = this.#theme.dark ? 'dark' : 'light';
    part('theme').textContent = this.#theme.dark ? 'Light' : 'Dark';
  }

  #say(problem: string): void {
    part('problem').hidden = !problem;
    part('problem').textContent = problem;
  }

  #announce(text: string): void {
    const said = part('said');
    said.textContent = text;
    said.classList.add('shown');
    setTimeout(() => said.classList.remove('shown'), 6000);
  }
}
