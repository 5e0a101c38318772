// A real Chromium, driven by playwright-core: what the tests and the benchmark of the page share.
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const PLACES = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Start the browser that the system has. */
export async function startBrowser() {
  const executablePath = PLACES.find((path) => path && existsSync(path));
  if (!executablePath) throw new Error('no Chromium is installed: apt-get install chromium, or set CHROMIUM to its path');
  return chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
}

/** Open a window; whatever the pages in it complain of is kept in `complaints`. */
export async function openWindow(browser) {
  const page = await browser.newPage();
  const complaints = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  return { page, complaints };
}

/**
 * Wait until no question runs and everything asked for is drawn. The page says so itself: it asks the next question in the
 * same turn in which it has the answer to the one before, so `busy` is not hidden between two of them when a frame begins.
 */
export async function settled(page) {
  await page.waitForFunction(() => window.chronotope && document.getElementById('busy').hidden, null, { polling: 50 });
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}
