// The built-in page in a real Chromium: what people do on it, and what it then shows.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { settled } from './browser.mjs';
import { at, DAY, edges, ids, onScreen, picture, place, places, TOGETHER, useBrowser, visit } from './visiting.mjs';

useBrowser();

describe('the page', TOGETHER, () => {
  it('the graph of the time in the address is drawn, with its names to read', () =>
    visit(at('10:20'), async (page) => {
      assert.deepEqual(await ids(page), ['kafka/orders', 'legacy/soap', 'pay.example.com', 'shop/cart', 'shop/front', 'shop/orders-db', 'shop/ship', 'unknown']);
      const names = await page.locator('[data-part=labels] span:visible').allTextContents();
      for (const name of ['cart', 'front', 'soap', 'orders-db']) assert.ok(names.includes(name), `${name} in ${names}`);
      assert.match(await page.locator('#summary').textContent(), /^8 services, \d+ dependencies$/);
      assert.equal(await page.locator('#time').textContent(), `${DAY} 10:20:00 UTC`);
    }));

  it('moving the slider shows another time, in the address too, and no node moves', () =>
    visit(at('10:20'), async (page) => {
      const first = await places(page);
      assert.ok(!(await ids(page)).includes('shop/recs'));
      const slider = page.locator('#slider');
      await slider.fill(String(Date.parse(`${DAY}T10:49:50Z`)));
      await slider.press('ArrowRight');
      await settled(page);
      assert.equal(await page.locator('#time').textContent(), `${DAY} 10:50:00 UTC`);
      const later = await places(page);
      assert.ok('shop/recs' in later && !('legacy/soap' in later));
      for (const id of Object.keys(first).filter((own) => own in later)) assert.deepEqual(later[id], first[id], id);
    }));

  it('the buttons step from change to change', () =>
    visit(at('10:20'), async (page) => {
      await page.click('#later');
      await settled(page);
      assert.ok((await edges(page)).includes('shop/cart>shop/recs'));
      const at = Date.parse(await page.evaluate(() => new URLSearchParams(location.search).get('at')));
      assert.ok(at > Date.parse(`${DAY}T10:30:00Z`) && at <= Date.parse(`${DAY}T10:35:10Z`), new Date(at).toISOString());
      await page.click('#earlier');
      await settled(page);
      await page.click('#earlier');
      await page.locator('#said.shown').waitFor();
      assert.match(await page.locator('#said').textContent(), /No earlier change/);
    }));

  it('play moves through the past by itself and stops', () =>
    visit(at('10:20', '&range=20m'), async (page) => {
      assert.equal(await page.locator('#range').inputValue(), '20m', 'also one that the list does not offer');
      const time = () => page.locator('#time').textContent();
      const begun = await time();
      await page.click('#play');
      await page.waitForFunction((text) => document.getElementById('time').textContent !== text, begun);
      await page.click('#play');
      const stopped = await time();
      assert.ok(stopped > begun);
      assert.equal(await page.locator('#play').textContent(), 'Play');
    }));

  it('comparing draws what was added, removed and changed', () =>
    visit(at('10:59', `&before=${DAY}T10:20:00Z&window=10m`), async (page) => {
      const status = () => page.evaluate(() => Object.fromEntries(window.chronotope.view.graph.edges.map(({ source, target, status }) => [`${source}>${target}`, status])));
      await page.getByRole('button', { name: 'Compare' }).click();
      await page.waitForFunction(() => window.chronotope.view.graph.edges.some((edge) => edge.status === 'added'));
      const found = await status();
      assert.equal(found['shop/cart>shop/recs'], 'added');
      assert.equal(found['shop/front>legacy/soap'], 'removed');
      assert.equal(found['shop/cart>shop/orders-db'], 'changed');
      assert.match(await page.locator('#summary').textContent(), /1 added, 1 removed/);
      assert.ok(await page.locator('#legend').getByText('removed').isVisible());
      await page.evaluate(() => window.chronotope.view.select(window.chronotope.view.graph.edges.find(({ status }) => status === 'changed').id));
      await picture(page, 'compare-light');
      await page.getByRole('button', { name: 'Topology', exact: true }).click();
      await page.waitForFunction(() => window.chronotope.view.graph.edges.every((edge) => edge.status === undefined));
    }));

  it('a click shows who calls, who is called, and how it went over time', () =>
    visit(at('10:50'), async (page) => {
      await page.mouse.click(...(await onScreen(page, 'shop/cart')));
      const drawer = page.locator('#drawer');
      await drawer.getByRole('heading', { name: 'Callees' }).waitFor();
      assert.equal(await drawer.getByRole('heading', { level: 2 }).textContent(), 'cart');
      const text = await drawer.textContent();
      for (const name of ['shop/front', 'shop/recs', 'shop/orders-db', 'Over time', 'platform']) assert.ok(text.includes(name), name);
      assert.ok((await drawer.locator('svg.spark').count()) >= 2);
      await drawer.getByRole('button', { name: 'shop/orders-db' }).click();
      await drawer.getByRole('heading', { name: 'orders-db', level: 2 }).waitFor();
      assert.match(page.url(), /select=shop%2Forders-db/);
      await page.reload();
      await settled(page);
      await drawer.getByRole('heading', { name: 'orders-db', level: 2 }).waitFor();
      await drawer.getByRole('button', { name: 'Close details' }).click();
      assert.ok(await drawer.isHidden());
    }));

  it('an edge tells its evidence layer by layer', () =>
    visit(at('10:50'), async (page) => {
      const id = await page.evaluate(() => window.chronotope.view.graph.edges.find(({ target }) => target === 'shop/orders-db').id);
      await page.goto(at('10:50', `&select=${id}`));
      await settled(page);
      const drawer = page.locator('#drawer');
      await drawer.getByText('Evidence').waitFor();
      const text = await drawer.textContent();
      assert.match(text, /30 % errors/);
      assert.match(text, /network/);
    }));

  it('what depends on a service stands out', () =>
    visit(at('10:50', '&select=shop/orders-db'), async (page) => {
      await page.getByRole('button', { name: 'Blast radius' }).click();
      await page.locator('#said.shown').waitFor();
      assert.match(await page.locator('#said').textContent(), /\d+ services depend on shop\/orders-db/);
      assert.deepEqual((await page.evaluate(() => window.chronotope.view.labels())).filter((name) => ['front', 'cart', 'ship'].includes(name)).sort(), ['cart', 'front']);
    }));

  it('a double click shows only the neighbourhood, as many hops as wanted', () =>
    visit(at('10:20'), async (page) => {
      await page.mouse.dblclick(...(await onScreen(page, 'shop/orders-db')));
      await page.waitForFunction(() => window.chronotope.view.graph.nodes.length === 2);
      assert.deepEqual(await ids(page), ['shop/cart', 'shop/orders-db']);
      await page.locator('select[name=depth]').selectOption('2');
      await page.waitForFunction(() => window.chronotope.view.graph.nodes.length > 2);
      assert.ok((await ids(page)).includes('shop/front'));
      await page.locator('select[name=direction]').selectOption('downstream');
      await page.waitForFunction(() => window.chronotope.view.graph.nodes.length === 0);
      await page.getByRole('button', { name: /Remove around/ }).click();
      await page.waitForFunction(() => window.chronotope.view.graph.nodes.length === 8);
    }));

  it('search lets what it finds stand out, and Enter goes there', () =>
    visit(at('10:20'), async (page) => {
      await page.fill('#search', 'CART');
      assert.equal(await page.locator('#found').textContent(), '1 found');
      await page.press('#search', 'Enter');
      await page.locator('#drawer').getByRole('heading', { name: 'cart', level: 2 }).waitFor();
    }));

  it('groups are one node each, with the sums between them', () =>
    visit(at('10:20', '&group=namespace'), async (page) => {
      assert.ok((await ids(page)).includes('shop'));
      await page.mouse.dblclick(...(await onScreen(page, 'shop')));
      await page.waitForFunction(() => window.chronotope.view.graph.nodes.some(({ id }) => id === 'shop/cart'));
      assert.match(page.url(), /namespace=shop/);
    }));

  it('layers and hops are chosen', () =>
    visit(at('10:20'), async (page) => {
      await page.click('#display summary');
      for (const layer of ['ipc', 'trace']) await page.uncheck(`input[name=layer-${layer}]`);
      await page.waitForFunction(() => window.chronotope.view.graph.edges.every(({ layers }) => layers.join() === 'network'));
      assert.deepEqual(await edges(page), ['shop/cart>shop/orders-db']);
      for (const layer of ['ipc', 'trace']) await page.check(`input[name=layer-${layer}]`);
      await page.waitForFunction(() => window.chronotope.view.graph.nodes.length === 8);
      await page.locator('select[name=view]').selectOption('hops');
      await settled(page);
      assert.match(page.url(), /view=hops/);
    }));

  it('a service that was dragged keeps its place, also after a reload, until it is put back', () =>
    visit(at('10:20'), async (page) => {
      const [x, y] = await onScreen(page, 'shop/ship');
      await page.mouse.move(x, y);
      await page.mouse.down();
      await page.mouse.move(x + 60, y + 70, { steps: 5 });
      await page.mouse.up();
      const moved = async () => (await onScreen(page, 'shop/ship')).map(Math.round);
      assert.deepEqual(await moved(), [x + 60, y + 70].map(Math.round));
      const away = (await place(page, 'shop/ship')).y - (await place(page, 'shop/cart')).y;
      await page.reload();
      await settled(page);
      const still = (await place(page, 'shop/ship')).y - (await place(page, 'shop/cart')).y;
      const scale = await page.evaluate(() => window.chronotope.view.viewport.scale);
      assert.ok(Math.abs(away - still) < 90 * scale, `${away} ${still}`);
      await page.click('#display summary');
      await page.getByRole('button', { name: /Put 1 moved service back/ }).click();
    }));

  it('everything works by keyboard', () =>
    visit(at('10:20'), async (page) => {
      const cursor = page.locator('[data-part=cursor]');
      await cursor.focus();
      const first = await cursor.getAttribute('aria-label');
      assert.match(first, /, \d+ callers?, \d+ callees?/);
      for (const key of ['ArrowLeft', 'ArrowLeft', 'ArrowLeft']) await page.keyboard.press(key);
      await page.keyboard.press('ArrowRight');
      await page.waitForFunction((text) => document.querySelector('[data-part=cursor]').ariaLabel !== text, '');
      const name = (await page.locator('[data-part=live]').textContent()).split(',')[0];
      await page.keyboard.press('Enter');
      await page.waitForFunction((id) => new URLSearchParams(location.search).get('focus') === id, name);
      await cursor.focus();
      await page.keyboard.press('Escape');
      await page.waitForFunction(() => !new URLSearchParams(location.search).get('select'));
    }));

  it('the graph is there as a table too', () =>
    visit(at('10:20'), async (page) => {
      await page.click('#show-table');
      const rows = await page.locator('#sheet tbody tr').count();
      assert.equal(rows, (await edges(page)).length);
      await picture(page, 'table-light');
    }));
});
