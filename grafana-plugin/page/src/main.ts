/** Starts the page. */

import { App } from './app.ts';

declare global {
  interface Window {
    /** For tests and benchmarks, and for whoever wants to look. */
    chronotope?: App;
  }
}

/** The browser's memory; null where it is forbidden. */
function storage(): Storage | null {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

const app = new App(storage());
window.chronotope = app;
app.start();
