/** What the page says in words: problems until they are over, and news for a moment. */

import { part } from './dom.ts';

const NEWS_MS = 6000;
let silence: ReturnType<typeof setTimeout> | undefined;

/** Say what went wrong; an empty text: nothing does any more. */
export function sayProblem(problem: unknown): void {
  const text = problem instanceof Error ? problem.message : String(problem);
  part('problem').hidden = !text;
  part('problem').textContent = text;
}

/** Say something that needs no answer, also to screen readers. */
export function announce(text: string): void {
  const said = part('said');
  said.textContent = text;
  said.classList.add('shown');
  clearTimeout(silence);
  silence = setTimeout(() => said.classList.remove('shown'), NEWS_MS);
}
