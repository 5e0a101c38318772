// The built plugins on a dashboard of Grafana's scenes, over a running server with the recorded live system.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { click, places, screenshot, shapeOf, startDashboards, TOGETHER, waitForService } from './dashboard.mjs';

// The load begins at `began`; `promo` is called from 121 s on.
const began = Number(process.env.BEGAN_MS);
const at = (seconds) => new Date(began + seconds * 1000).toISOString();
const EARLY = { from: at(40), to: at(100), span: '5m' };
const range = (page) => page.getByTestId('neighbour-range').innerText();
const waitForCount = (page, count) => page.getByRole('group', { name: new RegExp(`: ${count} services,`) }).waitFor();
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let dashboards;

/** How many services the drawing has, as it tells screen readers. */
async function count(page) {
  const name = await page.getByRole('group', { name: / services, / }).getAttribute('aria-label');
  return Number(/(\d+) services/.exec(name)[1]);
}

before(async () => {
  dashboards = await startDashboards();
});
after(() => dashboards.close());

/** Open the dashboard at the early time, with more settings, and do something on it. */
function visit(act, settings = {}, size = undefined) {
  return dashboards.visit({ ...EARLY, ...settings }, async (page) => {
    await waitForService(page, 'frontend');
    await act(page);
  }, size);
}

describe('the panel', TOGETHER, () => {
  it('shows the graph of the dashboard’s time', () =>
    visit(async (page) => {
      assert.equal('promo' in (await places(page)), false);
      await page.evaluate(({ from, to }) => window.dashboard.locationService.partial({ from, to }), { from: at(130), to: at(190) });
      await waitForService(page, 'promo');
    }));

  it('keeps services where they are when time moves', () =>
    visit(async (page) => {
      const names = ['frontend', 'payment', 'recommender'];
      const shapes = new Map();
      for (const name of names) {
        shapes.set(name, await shapeOf(page, name));
      }
      await page.evaluate(({ from, to }) => window.dashboard.locationService.partial({ from, to }), { from: at(130), to: at(190) });
      await waitForService(page, 'promo');
      for (const name of names) {
        const { x, y } = shapes.get(name);
        await page.mouse.click(x, y);
        await page.getByRole('region', { name: new RegExp(`^Details of .*${name}$`) }).waitFor();
      }
    }));

  it('moves the dashboard by its slider, step by step to changes, and by keys', () =>
    visit(async (page) => {
      const earlier = await range(page);
      await page.getByRole('button', { name: 'Next change' }).click();
      await page.waitForFunction((text) => document.querySelector('[data-testid=neighbour-range]').innerText !== text, earlier);
      const stepped = await range(page);
      assert.ok(stepped > earlier);
      await page.getByRole('slider', { name: 'Time shown' }).press('ArrowLeft');
      await page.waitForFunction((text) => document.querySelector('[data-testid=neighbour-range]').innerText < text, stepped);
    }));

  it('moves the dashboard when the window is dragged', () =>
    visit(async (page) => {
      const window_ = await page.getByTestId('slider-window').boundingBox();
      const earlier = await range(page);
      const y = window_.y + window_.height / 2;
      await page.mouse.move(window_.x + window_.width / 2, y);
      await page.mouse.down();
      await page.mouse.move(window_.x + window_.width / 2 + 200, y, { steps: 5 });
      await page.mouse.up();
      await page.waitForFunction((text) => document.querySelector('[data-testid=neighbour-range]').innerText > text, earlier);
      const length = (text) => text.split(' – ').map(Date.parse).reduce((from, to) => to - from);
      assert.equal(length(await range(page)), length(earlier));
    }));

  it('marks on its slider what happened', () =>
    visit(async (page) => {
      const mark = page.getByTestId('slider-event').first();
      await mark.waitFor();
      assert.match(await mark.getAttribute('title'), /^New dependency: .*promo/);
    }));

  it('plays until it is paused', () =>
    visit(async (page) => {
      const earlier = await range(page);
      await page.getByRole('button', { name: 'Play' }).click();
      await page.waitForFunction((text) => document.querySelector('[data-testid=neighbour-range]').innerText > text, earlier);
      await page.getByRole('button', { name: 'Pause' }).click();
    }));

  it('takes part in the hover of other panels, both ways', () =>
    visit(async (page) => {
      await page.getByTestId('neighbour').hover();
      await page.getByTestId('slider-hover').waitFor();
      await page.mouse.move(700, 5);
      await page.getByTestId('slider-hover').waitFor({ state: 'hidden' });
      await page.getByRole('slider', { name: 'Time shown' }).hover({ position: { x: 300, y: 20 } });
      assert.match(await page.getByTestId('neighbour-hover').innerText(), /^2\d{3}-/);
    }));

  it('lets the dashboard follow a click, and takes its variables along in data links', () =>
    visit(async (page) => {
      await click(page, 'frontend');
      const details = page.getByTestId('details');
      await details.waitFor();
      await page.getByText(/^Neighbour of .*frontend$/).waitFor();
      const link = details.getByRole('link', { name: /^Metrics of/ });
      const address = new URL(await link.getAttribute('href'), 'http://host');
      assert.match(address.searchParams.get('var-service'), /frontend$/);
      assert.equal(address.searchParams.has('var-ns'), true);
      await details.getByRole('button', { name: 'Close' }).click();
    }));

  it('draws the difference with an earlier time', () =>
    visit(async (page) => {
      const late = { from: at(130), to: at(190), 'var-compare': '-100s' };
      await page.evaluate((parts) => window.dashboard.locationService.partial(parts), late);
      await waitForService(page, 'promo');
      await page.getByRole('list', { name: 'Legend' }).getByText('added', { exact: true }).waitFor();
      await page.getByRole('button', { name: 'Show as a table' }).click();
      const row = page.getByRole('row').filter({ hasText: 'promo' }).first();
      assert.match(await row.innerText(), /added/);
      await screenshot(page, 'panel-diff-table');
      await page.getByRole('button', { name: 'Show as a graph' }).click();
      await screenshot(page, 'panel-diff');
      await page.getByRole('combobox', { name: 'Compare with' }).click();
      await page.getByRole('option', { name: 'No comparison' }).click();
      await page.getByRole('list', { name: 'Legend' }).getByText('added', { exact: true }).waitFor({ state: 'hidden' });
    }));

  it('follows a variable', () =>
    visit(async (page) => {
      const all = await count(page);
      await page.evaluate(() => window.dashboard.locationService.partial({ 'var-namespace': 'nowhere' }));
      await page.getByText('Nothing called anything in this time', { exact: false }).waitFor();
      await page.evaluate(() => window.dashboard.locationService.partial({ 'var-namespace': '$__all' }));
      await waitForCount(page, all);
    }));

  it('focuses on a service, hop by hop, and back', () =>
    visit(async (page) => {
      const all = await count(page);
      await click(page, 'payment', { clickCount: 2 });
      await page.getByText('1 hop', { exact: true }).waitFor();
      await waitForCount(page, 2);
      await waitForService(page, 'orders');
      await page.getByRole('button', { name: 'One hop more' }).click();
      await page.getByText('2 hops', { exact: true }).waitFor();
      assert.ok((await count(page)) > 2);
      await page.getByRole('button', { name: 'Show all services' }).click();
      await waitForCount(page, all);
    }));

  it('finds services', () =>
    visit(async (page) => {
      const search = page.getByRole('textbox', { name: 'Search services' });
      await search.fill('PAYM');
      assert.equal(await page.locator('[aria-live=polite]', { hasText: /^1$/ }).count(), 1);
      const before = (await places(page)).payment;
      await search.press('Enter');
      const moved = ([x, y]) => {
        const label = [...document.querySelectorAll('[data-label^="node"]')].find((own) => own.textContent === 'payment');
        const { left, top, width, height } = label.getBoundingClientRect();
        return Math.hypot(left + width / 2 - x, top + height / 2 - y) > 5;
      };
      await page.waitForFunction(moved, before);
      await search.fill('');
      await page.getByRole('button', { name: 'Show the whole graph' }).click();
    }));

  it('says what a query did wrong in the server’s words', () =>
    visit(async (page) => {
      await page.evaluate(() => window.dashboard.locationService.partial({ 'var-compare': 'yesterday' }));
      await page.getByText(/yesterday/).first().waitFor();
    }));
});

describe('both themes', TOGETHER, () => {
  for (const theme of ['dark', 'light']) {
    it(`is accessible and looks well: ${theme}`, () =>
      visit(async (page) => {
        await screenshot(page, `panel-${theme}`);
        await page.evaluate(AXE);
        const { violations } = await page.evaluate(() => window.axe.run('[data-testid=topology-panel]'));
        assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`), []);
      }, { theme }));

    it(`is drawn in little room: ${theme}`, () =>
      visit((page) => screenshot(page, `panel-small-${theme}`), { theme, height: '300' }, { width: 480, height: 700 }));
  }
});

describe('a huge graph', () => {
  it('is drawn, and found and focused in', async () => {
    const own = await startDashboards(process.env.HUGE_URL);
    const settings = { from: '2024-03-02T11:59:00Z', to: '2024-03-02T12:01:00Z', edgeLabel: 'none', height: '760' };
    await own.visit(settings, async (page) => {
      await waitForCount(page, 1238);
      await page.getByText(/^Arranging/).waitFor({ state: 'hidden' });
      await screenshot(page, 'panel-huge');
      const search = page.getByRole('textbox', { name: 'Search services' });
      await search.fill('a');
      await search.press('Enter');
      await screenshot(page, 'panel-huge-search');
    });
    await own.close();
  });
});
