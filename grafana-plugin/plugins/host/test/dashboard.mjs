// A dashboard in a real browser, and what a person does with it.
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { mkdirSync } from 'node:fs';
import path from 'node:path';

import { serveHost } from '../serve.mjs';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const ARTEFACTS = process.env.ARTEFACTS ?? path.join(import.meta.dirname, '..', '..', 'artefacts');
// The npm packages have no fonts and not all icons; a test asks for a comparison that the server refuses.
const EXPECTED = /fonts|unicons|before=yesterday/;

/** Tests that run at a time, each in a window of its own: while one waits for the server, the other draws. */
export const TOGETHER = { concurrency: 2 };

/**
 * A browser and a host page over a server's data. `visit` opens a dashboard as a person would who was never there, does
 * something on it, and insists that it complained of nothing. Windows are used again: Grafana's scripts are large, and
 * a window that has run them starts them in half the time.
 */
export async function startDashboards(url = process.env.CHRONOTOPE_URL) {
  const host = await serveHost(url);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  const idle = [];
  const visit = async (settings, act, size = { width: 1400, height: 950 }) => {
    const { page, errors } = idle.pop() ?? (await openWindow(browser));
    await page.setViewportSize(size);
    await page.goto(`${host.url}/?${new URLSearchParams(settings)}`);
    await act(page);
    assert.deepEqual(errors, []);
    await page.evaluate(() => window.localStorage.clear());
    await page.goto('about:blank');
    errors.length = 0;
    idle.push({ page, errors });
  };
  const close = async () => {
    await browser.close();
    host.close();
  };
  return { visit, close };
}

/** A window; `errors` hears what pages in it complain of. */
async function openWindow(browser) {
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    const text = `${message.text()} ${message.location().url}`;
    if (message.type() === 'error' && !EXPECTED.test(text)) {
      errors.push(text);
    }
  });
  return { page, errors };
}

/** Wait until the drawing shows a service. */
export async function waitForService(page, name) {
  await page.locator(`[data-label^="node"]`, { hasText: new RegExp(`^${name}$`) }).first().waitFor();
}

/** Where each service's name is on the screen, by name; only those that can be seen. */
export async function places(page) {
  return page.evaluate(() => {
    const labels = [...document.querySelectorAll('[data-label^="node"]')].filter((own) => own.style.display !== 'none');
    return Object.fromEntries(
      labels.map((own) => {
        const { left, top, width, height } = own.getBoundingClientRect();
        return [own.textContent, [Math.round(left + width / 2), Math.round(top + height / 2)]];
      })
    );
  });
}

/** The middle of a service's shape: its name stands below it. */
export async function shapeOf(page, name) {
  const [x, y] = (await places(page))[name];
  return { x, y: y - 30 };
}

export async function click(page, name, options = {}) {
  const { x, y } = await shapeOf(page, name);
  await page.mouse.click(x, y, options);
}

export function screenshot(page, name) {
  mkdirSync(ARTEFACTS, { recursive: true });
  return page.screenshot({ path: path.join(ARTEFACTS, `${name}.png`) });
}
