/** The drawer at the side and the sheet below: lists, the graph as a table, and details of what is selected. */

import type { Selection } from '@chronotope/core';
import { addSeries, edgeDetails, neighboursTables, seriesOf, serviceDetails } from './details.ts';
import type { DetailActions } from './details.ts';
import { h, part } from './dom.ts';
import { eventsList, graphTable, servicesList } from './lists.ts';
import type { TopologyEvent } from './lists.ts';
import type { Page } from './page.ts';
import { spanQuery } from './reading.ts';
import { durationMs, windowQuery } from './state.ts';
import type { State } from './state.ts';
import { rfc3339 } from './times.ts';

const MOST_SERIES = 8;

interface Neighbour {
  readonly id: string;
  readonly evidence: Record<string, { calls?: number }>;
}

export class Drawer {
  /** What happened in the slider's span. */
  events: readonly TopologyEvent[] = [];

  constructor(
    private readonly page: Page,
    private readonly actions: DetailActions,
  ) {}

  /** Show a list, or hide it if it is shown. */
  show(panel: State['panel']): void {
    this.page.view.select(null);
    this.page.change({ panel: this.page.state.panel === panel ? 'none' : panel, select: '' });
    this.render();
  }

  /** Show what the state wants: details of what is selected, else a list; the table below. */
  render(): void {
    const { state, shown, view } = this.page;
    const drawer = part('drawer');
    this.#renderSheet();
    const selected = view.selection;
    if (state.select && selected) this.#renderDetails(selected);
    else if (state.panel === 'services' && shown) {
      drawer.replaceChildren(this.#listHeader('Services'), servicesList(shown.graph, state.search, this.actions.select));
    } else if (state.panel === 'events') {
      drawer.replaceChildren(this.#listHeader('Changes and events'), eventsList(this.events, Date.now(), (event) => this.#openEvent(event)));
    } else drawer.replaceChildren();
    drawer.hidden = drawer.childElementCount === 0;
    document.body.classList.toggle('drawn', !drawer.hidden);
  }

  #renderSheet(): void {
    const { state, shown } = this.page;
    const sheet = part('sheet');
    sheet.hidden = state.panel !== 'table' || !shown;
    if (!sheet.hidden && shown) sheet.replaceChildren(graphTable(shown.graph, (id) => this.page.change({ select: id, panel: 'none' })));
  }

  #listHeader(title: string): HTMLElement {
    const close = h('button', { type: 'button', class: 'close', 'aria-label': `Close ${title.toLowerCase()}`, onclick: () => this.show('none') }, '×');
    return h('header', {}, h('h2', {}, title), close);
  }

  #renderDetails(selected: NonNullable<Selection>): void {
    const { state, shown, theme } = this.page;
    const drawer = part('drawer');
    const same = drawer.dataset.of === state.select && drawer.childElementCount > 0;
    const more = same ? [...part('more').childNodes] : [];
    drawer.dataset.of = state.select;
    const details = selected.node
      ? serviceDetails(selected.node, theme, Boolean(shown?.grouping), this.actions)
      : edgeDetails(selected.edge, Date.now(), this.actions);
    drawer.replaceChildren(details);
    // What was asked for a moment ago stays until the new answer is there: nothing flickers.
    part('more').replaceChildren(...more);
    if (!selected.node?.members) void this.#loadDetails(selected);
  }

  async #loadDetails(selected: NonNullable<Selection>): Promise<void> {
    const of = this.page.state.select;
    try {
      const found = selected.node ? await this.#serviceMore(selected.node.id) : [await this.#series([selected.edge.id], '')];
      if (of !== this.page.state.select || found.some((own) => own === null)) return;
      document.getElementById('more')?.replaceChildren(...found.filter((own) => own !== null));
    } catch (error) {
      document.getElementById('more')?.replaceChildren(h('p', { class: 'note' }, error instanceof Error ? error.message : String(error)));
    }
  }

  /** Its dependencies over time, and as tables; null among them when a newer question took over. */
  async #serviceMore(id: string): Promise<(HTMLElement | null)[]> {
    const query = { ...windowQuery(this.page.state), at: this.page.state.at, measures: 'full' };
    const answer = (await this.page.asking.ask('service', `api/v1/services/${encodeURIComponent(id)}`, query)) as {
      callers: Neighbour[];
      callees: Neighbour[];
    } | null;
    if (!answer) return [null];
    const side = answer.callers.length ? 'callers' : 'callees';
    const tables = neighboursTables(answer, this.actions);
    if (!answer[side].length) return tables;
    const busiest = [...answer[side]].sort((a, b) => callsOf(b) - callsOf(a)).slice(0, MOST_SERIES);
    const which = answer[side].length > busiest.length ? `its ${MOST_SERIES} busiest ${side}` : `all its ${side}`;
    return [await this.#series(busiest.map((edge) => edge.id), `${side === 'callers' ? 'From' : 'To'} ${which}`), ...tables];
  }

  async #series(edges: readonly string[], note: string): Promise<HTMLElement | null> {
    const { state, shown, asking } = this.page;
    const { view, layers } = windowQuery(state);
    const query = { ...spanQuery(state, Date.now()), view, ...(layers ? { layers } : {}) };
    const answers = await Promise.all(edges.map((id, at) => asking.ask(`series ${at}`, `api/v1/edges/${id}`, query)));
    if (answers.some((answer) => answer === null)) return null;
    return seriesOf(addSeries(answers, shown?.at ?? Date.now(), note));
  }

  #openEvent(event: TopologyEvent): void {
    this.page.change({ at: rfc3339(event.ms + durationMs(this.page.state.window) / 2), select: event.subject });
  }
}

function callsOf({ evidence }: Neighbour): number {
  return (evidence.ipc ?? evidence.trace)?.calls ?? 0;
}
