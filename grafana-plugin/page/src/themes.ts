/** Light or dark: as chosen here before, else as the system says. */

import { DARK, LIGHT } from '@chronotope/core';
import type { Theme } from '@chronotope/core';
import { part } from './dom.ts';

const KEY = 'chronotope.theme';

export function chosenTheme(storage: Storage | null): Theme {
  const chosen = storage?.getItem(KEY);
  const dark = chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  return dark ? DARK : LIGHT;
}

export function rememberTheme(storage: Storage | null, theme: Theme): void {
  storage?.setItem(KEY, theme.dark ? 'dark' : 'light');
}

/** Dress the page; the drawing is told by itself. */
export function showTheme(theme: Theme): void {
  document.documentElement.dataset.theme = theme.dark ? 'dark' : 'light';
  part('theme').textContent = theme.dark ? 'Light' : 'Dark';
}
