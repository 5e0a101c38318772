// What the page's tests share: the servers whose data tests/e2e/test_page.py wrote, and questions to the page.
// CHRONOTOPE_URL has a small shop from 10:00 to 11:00, and two days later a graph that is too large to read; LARGE_URL shows
// a large one.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { openWindow, settled, startBrowser } from './browser.mjs';

export const URL = process.env.CHRONOTOPE_URL;
export const LARGE = process.env.LARGE_URL;
export const DAY = '2024-03-01';
/** Tests of one file that run at a time, each in a window of its own: while one waits for the server, the other draws. */
export const TOGETHER = { concurrency: 2 };
/** Where pictures are left, if anywhere. */
export const PICTURES = process.env.PICTURES;
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export const at = (clock, more = '') => `${URL}/?at=${DAY}T${clock}:00Z&until=${DAY}T11:00:00Z${more}`;
export const ids = (page) => page.evaluate(() => window.chronotope.view.graph.nodes.map(({ id }) => id).sort());
export const edges = (page) => page.evaluate(() => window.chronotope.view.graph.edges.map(({ source, target }) => `${source}>${target}`).sort());
export const place = (page, id) => page.evaluate((own) => window.chronotope.view.screenOf(own), id);
export const places = (page) => page.evaluate(() => Object.fromEntries(window.chronotope.view.graph.nodes.map(({ id }) => [id, window.chronotope.view.screenOf(id)])));

/** Where a service is in the window, for the mouse. */
export async function onScreen(page, id) {
  const box = await page.locator('#drawing').boundingBox();
  const { x, y } = await place(page, id);
  return [box.x + x, box.y + y];
}

let browser;
/** Windows that no test uses now: one that is there shows a page in half the time of a new one. */
const idle = [];

/** One browser for all tests of a file. */
export function useBrowser() {
  before(async () => {
    if (PICTURES) mkdirSync(PICTURES, { recursive: true });
    browser = await startBrowser();
  });
  after(() => browser?.close());
}

/** Open the page, do something, and insist that it complained of nothing. It remembers nothing of an earlier visit. */
export async function visit(url, act, { width = 1440, height = 900, colorScheme = 'light', expected } = {}) {
  const { page, complaints } = idle.pop() ?? (await openWindow(browser));
  await page.setViewportSize({ width, height });
  await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
  await page.goto(url);
  await settled(page);
  await act(page);
  assert.deepEqual(complaints.filter((text) => !expected?.test(text)), []);
  await page.evaluate(() => window.localStorage.clear());
  await page.goto('about:blank');
  complaints.length = 0;
  idle.push({ page, complaints });
}

export async function picture(page, name) {
  if (PICTURES) await page.screenshot({ path: join(PICTURES, `${name}.png`) });
}

export async function accessible(page, name) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const found = violations.map(({ id, nodes }) => `${name}: ${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`);
  assert.deepEqual(found, []);
}
