// The built plugins on a dashboard of Grafana's scenes, over a running server with the recorded live system.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { click, places, screenshot, shapeOf, startDashboards, waitForService } from './dashboard.mjs';

// The load begins at `began`; `promo` is called from 121 s on.
const began = Number(process.env.BEGAN_MS);
const at = (seconds) => new Date(began + seconds * 1000).toISOString();
const EARLY = { from: at(40), to: at(100), span: '5m' };
const range = (page) => page.getByTestId('neighbour-range').innerText();
const waitForCount = (page, count) => page.getByRole('group', { name: new RegExp(`: ${count} services,`) }).waitFor();
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let dashboards;
let page;

/** How many services the drawing has, as it tells screen readers. */
async function count() {
  const name = await page.getByRole('group', { name: / services, / }).getAttribute('aria-label');
  return Number(/(\d+) services/.exec(name)[1]);
}

before(async () => {
  dashboards = await startDashboards();
});
after(async () => assert.deepEqual(await dashboards.close(), []));
afterEach(() => page.close().catch(() => undefined));

describe('the panel', () => {
  beforeEach(async () => {
    page = await dashboards.open(EARLY);
    await waitForService(page, 'frontend');
  });

  it('shows the graph of the dashboard’s time', async () => {
    assert.equal('promo' in (await places(page)), false);
    await page.evaluate(({ from, to }) => window.dashboard.locationService.partial({ from, to }), { from: at(130), to: at(190) });
    await waitForService(page, 'promo');
  });

  it('keeps services where they are when time moves', async () => {
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
  });

  it('moves the dashboard by its slider, step by step to changes, and by keys', async () => {
    const earlier = await range(page);
    await page.getByRole('button', { name: 'Next change' }).click();
    await page.waitForFunction((text) => document.querySelector('[data-testid=neighbour-range]').innerText !== text, earlier);
    const stepped = await range(page);
    assert.ok(stepped > earlier);
    await page.getByRole('slider', { name: 'Time shown' }).press('ArrowLeft');
    await page.waitForFunction((text) => document.querySelector('[data-testid=neighbour-range]').innerText < text, stepped);
  });

  it('moves the dashboard when the window is dragged', async () => {
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
  });

  it('marks on its slider what happened', async () => {
    const mark = page.getByTestId('slider-event').first();
    await mark.waitFor();
    assert.match(await mark.getAttribute('title'), /^New dependency: .*promo/);
  });

  it('plays until it is paused', async () => {
    const earlier = await range(page);
    await page.getByRole('button', { name: 'Play' }).click();
    await page.waitForFunction((text) => document.querySelector('[data-testid=neighbour-range]').innerText > text, earlier);
    await page.getByRole('button', { name: 'Pause' }).click();
  });

  it('takes part in the hover of other panels, both ways', async () => {
    await page.getByTestId('neighbour').hover();
    await page.getByTestId('slider-hover').waitFor();
    await page.mouse.move(700, 5);
    await page.getByTestId('slider-hover').waitFor({ state: 'hidden' });
    await page.getByRole('slider', { name: 'Time shown' }).hover({ position: { x: 300, y: 20 } });
    assert.match(await page.getByTestId('neighbour-hover').innerText(), /^2\d{3}-/);
  });

  it('lets the dashboard follow a click, and takes its variables along in data links', async () => {
    await click(page, 'frontend');
    const details = page.getByTestId('details');
    await details.waitFor();
    await page.getByText(/^Neighbour of .*frontend$/).waitFor();
    const link = details.getByRole('link', { name: /^Metrics of/ });
    const address = new URL(await link.getAttribute('href'), 'http://host');
    assert.match(address.searchParams.get('var-service'), /frontend$/);
    assert.equal(address.searchParams.has('var-ns'), true);
    await details.getByRole('button', { name: 'Close' }).click();
  });

  it('draws the difference with an earlier time', async () => {
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
  });

  it('follows a variable', async () => {
    const all = await count();
    await page.evaluate(() => window.dashboard.locationService.partial({ 'var-namespace': 'nowhere' }));
    await page.getByText('Nothing called anything in this time', { exact: false }).waitFor();
    await page.evaluate(() => window.dashboard.locationService.partial({ 'var-namespace': '$__all' }));
    await waitForCount(page, all);
  });

  it('focuses on a service, hop by hop, and back', async () => {
    const all = await count();
    await click(page, 'payment', { clickCount: 2 });
    await page.getByText('1 hop', { exact: true }).waitFor();
    await waitForCount(page, 2);
    await waitForService(page, 'orders');
    await page.getByRole('button', { name: 'One hop more' }).click();
    await page.getByText('2 hops', { exact: true }).waitFor();
    assert.ok((await count()) > 2);
    await page.getByRole('button', { name: 'Show all services' }).click();
    await waitForCount(page, all);
  });

  it('finds services', async () => {
    const search = page.getByRole('textbox', { name: 'Search services' });
    await search.fill('PAYM');
    assert.equal(await page.locator('[aria-live=polite]', { hasText: /^1$/ }).count(), 1);
    const before = await shapeOf(page, 'payment');
    await search.press('Enter');
    await page.waitForTimeout(300);
    assert.notDeepEqual(await shapeOf(page, 'payment'), before);
    await search.fill('');
    await page.getByRole('button', { name: 'Show the whole graph' }).click();
  });

  it('says what a query did wrong in the server’s words', async () => {
    await page.evaluate(() => window.dashboard.locationService.partial({ 'var-compare': 'yesterday' }));
    await page.getByText(/yesterday/).first().waitFor();
  });
});

describe('both themes', () => {
  for (const theme of ['dark', 'light']) {
    it(`is accessible and looks well: ${theme}`, async () => {
      page = await dashboards.open({ ...EARLY, theme });
      await waitForService(page, 'frontend');
      await screenshot(page, `panel-${theme}`);
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => window.axe.run('[data-testid=topology-panel]'));
      assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`), []);
    });

    it(`is drawn in little room: ${theme}`, async () => {
      page = await dashboards.open({ ...EARLY, theme, height: '300' }, { width: 480, height: 700 });
      await waitForService(page, 'frontend');
      await screenshot(page, `panel-small-${theme}`);
    });
  }
});

describe('a huge graph', () => {
  it('is drawn, and found and focused in', async () => {
    const own = await startDashboards(process.env.HUGE_URL);
    page = await own.open({ from: '2024-03-02T11:59:00Z', to: '2024-03-02T12:01:00Z', edgeLabel: 'none', height: '760' });
    await waitForCount(page, 1238);
    await page.getByText(/^Arranging/).waitFor({ state: 'hidden' });
    await screenshot(page, 'panel-huge');
    const search = page.getByRole('textbox', { name: 'Search services' });
    await search.fill('a');
    await search.press('Enter');
    await screenshot(page, 'panel-huge-search');
    assert.deepEqual(await own.close(), []);
  });
});
