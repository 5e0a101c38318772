// A dashboard in a real browser, and what a person does with it.
import { chromium } from 'playwright-core';
import { mkdirSync } from 'node:fs';
import path from 'node:path';

import { serveHost } from '../serve.mjs';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const ARTEFACTS = process.env.ARTEFACTS ?? path.join(import.meta.dirname, '..', '..', 'artefacts');
// The npm packages have no fonts and not all icons; a test asks for a comparison that the server refuses.
const EXPECTED = /fonts|unicons|before=yesterday/;

/** A browser and a host page over a server's data. `open` is a person's new tab; `close` fails on errors of any page. */
export async function startDashboards(url = process.env.CHRONOTOPE_URL) {
  const host = await serveHost(url);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  const errors = [];
  const open = async (settings, size = { width: 1400, height: 950 }) => {
    const page = await browser.newPage({ viewport: size });
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('console', (message) => {
      const text = `${message.text()} ${message.location().url}`;
      if (message.type() === 'error' && !EXPECTED.test(text)) {
        errors.push(text);
      }
    });
    await page.goto(`${host.url}/?${new URLSearchParams(settings)}`);
    return page;
  };
  const close = async () => {
    await browser.close();
    host.close();
    return errors;
  };
  return { open, close };
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
