/** Questions to the server. A question that was overtaken by a newer one of its kind is given up. */

/** What a person may read when a question failed. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

export class Asking {
  readonly #running = new Map<string, AbortController>();

  /** `changed` hears whether some question is running. */
  constructor(private readonly changed: (busy: boolean) => void) {}

  /** Whether a question of a kind has no answer yet. */
  waitsFor(kind: string): boolean {
    return this.#running.has(kind);
  }

  /** Ask for JSON; null when a newer question of the same kind took its place. */
  async ask(kind: string, path: string, query: Readonly<Record<string, string>> = {}): Promise<unknown> {
    this.#running.get(kind)?.abort();
    const mine = new AbortController();
    this.#running.set(kind, mine);
    this.changed(true);
    try {
      const response = await fetch(`${path}?${new URLSearchParams(query)}`, { signal: mine.signal });
      const answer = (await response.json()) as { detail?: string };
      if (!response.ok) throw new Refused(answer.detail ?? response.statusText, response.status);
      return mine.signal.aborted ? null : answer;
    } catch (error) {
      if (mine.signal.aborted) return null;
      if (error instanceof Refused) throw error;
      throw new Refused(`The server does not answer (${error instanceof Error ? error.message : String(error)}).`, 0);
    } finally {
      if (this.#running.get(kind) === mine) this.#running.delete(kind);
      this.changed(this.#running.size > 0);
    }
  }
}
