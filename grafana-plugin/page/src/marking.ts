/** What stands out in the drawing: what a search found, or all that depends on a service. */

import { part } from './dom.ts';
import { announce, sayProblem } from './messages.ts';
import type { Page } from './page.ts';

interface BlastRadius {
  readonly callers: readonly { readonly service: string }[];
  readonly totals: { readonly callers: number; readonly direct: number };
}

export class Marking {
  #blast: ReadonlySet<string> | null = null;

  constructor(private readonly page: Page) {}

  /** Forget what depends on a service; what is searched for stands out again. */
  clear(): void {
    this.#blast = null;
  }

  /** The services that the search finds; null when nothing is searched for. */
  found(): string[] | null {
    const search = this.page.state.search.toLowerCase();
    if (!search) return null;
    return (this.page.shown?.graph.nodes ?? []).filter(({ id }) => id.toLowerCase().includes(search)).map(({ id }) => id);
  }

  render(): void {
    const found = this.found();
    this.page.view.mark(this.#blast ?? found);
    part('found').textContent = found ? `${found.length} found` : '';
  }

  /** Ask what depends on a service, directly or not, and let it stand out. */
  async blastRadius(id: string): Promise<void> {
    const { at, window } = this.page.state;
    try {
      const path = `api/v1/services/${encodeURIComponent(id)}/blast-radius`;
      const answer = (await this.page.asking.ask('blast', path, { at, window })) as BlastRadius | null;
      if (!answer) return;
      const { callers, totals } = answer;
      this.page.view.select(null);
      this.#blast = new Set([id, ...callers.map(({ service }) => service)]);
      this.render();
      announce(callers.length ? `${totals.callers} services depend on ${id}, ${totals.direct} of them directly.` : `No service depends on ${id}.`);
    } catch (error) {
      sayProblem(error);
    }
  }
}
