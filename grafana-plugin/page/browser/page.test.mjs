// The built-in page in a real browser, against running servers whose data tests/e2e/test_page.py wrote: CHRONOTOPE_URL has
// a small shop from 10:00 to 11:00, and two days later a graph that is too large to read; LARGE_URL shows a large one.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openPage, settled, startBrowser } from './browser.mjs';

const URL = process.env.CHRONOTOPE_URL;
const DAY = '2024-03-01';
const LARGE = process.env.LARGE_URL;
const PICTURES = process.env.PICTURES;
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let browser;
before(async () => {
  if (PICTURES) mkdirSync(PICTURES, { recursive: true });
  browser = await startBrowser();
});
after(() => browser?.close());

const at = (clock, more = '') => `${URL}/?at=${DAY}T${clock}:00Z&until=${DAY}T11:00:00Z${more}`;
const ids = (page) => page.evaluate(() => window.chronotope.view.graph.nodes.map(({ id }) => id).sort());
const edges = (page) => page.evaluate(() => window.chronotope.view.graph.edges.map(({ source, target }) => `${source}>${target}`).sort());
const place = (page, id) => page.evaluate((own) => window.chronotope.view.screenOf(own), id);
const places = (page) => page.evaluate(() => Object.fromEntries(window.chronotope.view.graph.nodes.map(({ id }) => [id, window.chronotope.view.screenOf(id)])));

/** Where a service is in the window, for the mouse. */
async function onScreen(page, id) {
  const box = await page.locator('#drawing').boundingBox();
  const { x, y } = await place(page, id);
  return [box.x + x, box.y + y];
}

/** Open the page, do something, and insist that it complained of nothing. */
async function visit(url, act, options) {
  const { page, complaints, close } = await openPage(browser, url, options);
  try {
    await settled(page);
    await act(page);
    assert.deepEqual(complaints.filter((text) => !options?.expected?.test(text)), []);
  } finally {
    await close();
  }
}

async function picture(page, name) {
  if (PICTURES) await page.screenshot({ path: join(PICTURES, `${name}.png`) });
}

async function accessible(page, name) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const found = violations.map(({ id, nodes }) => `${name}: ${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`);
  assert.deepEqual(found, []);
}

test('the graph of the time in the address is drawn, with its names to read', () =>
  visit(at('10:20'), async (page) => {
    assert.deepEqual(await ids(page), ['kafka/orders', 'legacy/soap', 'pay.example.com', 'shop/cart', 'shop/front', 'shop/orders-db', 'shop/ship', 'unknown']);
    const names = await page.locator('[data-part=labels] span:visible').allTextContents();
    for (const name of ['cart', 'front', 'soap', 'orders-db']) assert.ok(names.includes(name), `${name} in ${names}`);
    assert.match(await page.locator('#summary').textContent(), /^8 services, \d+ dependencies$/);
    assert.equal(await page.locator('#time').textContent(), `${DAY} 10:20:00 UTC`);
  }));

test('moving the slider shows another time, in the address too, and no node moves', () =>
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

test('the buttons step from change to change', () =>
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

test('play moves through the past by itself and stops', () =>
  visit(at('10:20', '&range=15m'), async (page) => {
    const time = () => page.locator('#time').textContent();
    const begun = await time();
    await page.click('#play');
    await page.waitForFunction((text) => document.getElementById('time').textContent !== text, begun);
    await page.click('#play');
    const stopped = await time();
    assert.ok(stopped > begun);
    assert.equal(await page.locator('#play').textContent(), 'Play');
  }));

test('comparing draws what was added, removed and changed', () =>
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

test('a click shows who calls, who is called, and how it went over time', () =>
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

test('an edge tells its evidence layer by layer', () =>
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

test('what depends on a service stands out', () =>
  visit(at('10:50', '&select=shop/orders-db'), async (page) => {
    await page.getByRole('button', { name: 'Blast radius' }).click();
    await page.locator('#said.shown').waitFor();
    assert.match(await page.locator('#said').textContent(), /\d+ services depend on shop\/orders-db/);
    assert.deepEqual((await page.evaluate(() => window.chronotope.view.labels())).filter((name) => ['front', 'cart', 'ship'].includes(name)).sort(), ['cart', 'front']);
  }));

test('a double click shows only the neighbourhood, as many hops as wanted', () =>
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

test('search lets what it finds stand out, and Enter goes there', () =>
  visit(at('10:20'), async (page) => {
    await page.fill('#search', 'CART');
    assert.equal(await page.locator('#found').textContent(), '1 found');
    await page.press('#search', 'Enter');
    await page.locator('#drawer').getByRole('heading', { name: 'cart', level: 2 }).waitFor();
  }));

test('groups are one node each, with the sums between them', () =>
  visit(at('10:20', '&group=namespace'), async (page) => {
    assert.ok((await ids(page)).includes('shop'));
    await page.mouse.dblclick(...(await onScreen(page, 'shop')));
    await page.waitForFunction(() => window.chronotope.view.graph.nodes.some(({ id }) => id === 'shop/cart'));
    assert.match(page.url(), /namespace=shop/);
  }));

test('layers and hops are chosen', () =>
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

test('a service that was dragged keeps its place, also after a reload, until it is put back', () =>
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

test('everything works by keyboard', () =>
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

test('the graph is there as a table too', () =>
  visit(at('10:20'), async (page) => {
    await page.click('#show-table');
    const rows = await page.locator('#sheet tbody tr').count();
    assert.equal(rows, (await edges(page)).length);
    await picture(page, 'table-light');
  }));

test('an empty time says what to do, and leads to data', () =>
  visit(`${URL}/?at=2020-01-01T00:00:00Z`, async (page) => {
    assert.ok(await page.getByRole('heading', { name: 'Nothing was seen at this time' }).isVisible());
    await accessible(page, 'empty');
    await page.click('#latest');
    await page.waitForFunction(() => window.chronotope.view.graph.nodes.length > 0);
  }));

test('a question that cannot be answered is explained as the server does', () =>
  visit(`${URL}/?at=yesterday`, async (page) => {
    assert.match(await page.locator('#problem').textContent(), /yesterday/);
  }, { expected: /400|422/ }));

test('a hostile name is text', () =>
  visit(at('10:20', `&search=${encodeURIComponent('<img src=x onerror=alert(1)>')}&focus=${encodeURIComponent('<b>x</b>')}`), async (page) => {
    assert.equal(await page.locator('#over b, #over img').count(), 0);
    assert.match(await page.locator('#problem').textContent(), /never seen/);
  }, { expected: /422/ }));

for (const colorScheme of ['light', 'dark']) {
  test(`nothing stands in the way of assistive technology (${colorScheme})`, () =>
    visit(at('10:50', '&label=rate&select=shop/cart'), async (page) => {
      await page.locator('#drawer').getByRole('heading', { name: 'Callees' }).waitFor();
      await accessible(page, 'details');
      await page.click('#display summary');
      await accessible(page, 'display');
      await page.click('#display summary');
      for (const list of ['services', 'events', 'table']) {
        await page.click(`#show-${list}`);
        await settled(page);
        await accessible(page, list);
      }
      await page.goto(at('10:50', '&focus=shop/cart&mode=diff&before=-30m'));
      await settled(page);
      await accessible(page, 'focus and diff');
    }, { colorScheme }));

  test(`pictures (${colorScheme})`, async () => {
    await visit(at('10:50', '&label=rate'), (page) => picture(page, `wide-${colorScheme}`), { colorScheme, width: 1680, height: 1000 });
    await visit(at('10:50', '&select=shop/cart'), async (page) => {
      await page.locator('#drawer').getByRole('heading', { name: 'Callees' }).waitFor();
      await picture(page, `details-${colorScheme}`);
    }, { colorScheme });
    await visit(at('10:50', '&colour=layers'), (page) => picture(page, `small-${colorScheme}`), { colorScheme, width: 420, height: 800 });
    if (LARGE) await visit(LARGE, (page) => picture(page, `huge-${colorScheme}`), { colorScheme });
  });
}

test('a large graph is drawn whole, and can be zoomed into until every name can be read', { skip: !LARGE && 'no large graph was given' }, () =>
  visit(LARGE, async (page) => {
    const count = (await ids(page)).length;
    assert.ok(count > 1000);
    const box = await page.locator('#drawing').boundingBox();
    for (const { x, y } of Object.values(await places(page))) assert.ok(x >= 0 && y >= 0 && x <= box.width && y <= box.height);
    for (let step = 0; step < 6; step++) await page.click('#closer');
    await settled(page);
    await page.waitForTimeout(300);
    const shown = await page.evaluate(() => {
      const { width, height } = document.getElementById('drawing').getBoundingClientRect();
      return window.chronotope.view.graph.nodes.filter(({ id }) => {
        const { x, y } = window.chronotope.view.screenOf(id);
        return x > 100 && y > 30 && x < width - 100 && y < height - 40;
      }).length;
    });
    const names = await page.evaluate(() => window.chronotope.view.labels().length);
    assert.ok(names >= shown * 0.95, `${names} of ${shown}`);
    await picture(page, 'huge-closer');
  }));

test('a graph too large to read is shown by namespace, and says so', () =>
  visit(`${URL}/?at=2024-03-03T12:00:10Z`, async (page) => {
    assert.match(await page.locator('#note').textContent(), /3000 services are too many to read: shown by namespace/);
    assert.equal((await ids(page)).length, 30);
    await page.mouse.dblclick(...(await onScreen(page, 'n7')));
    await page.waitForFunction(() => window.chronotope.view.graph.nodes.some(({ id }) => id.startsWith('n7/')));
    await picture(page, 'opened-namespace');
  }));

test('a comparison of two times that is too large is shown by namespace too', () =>
  visit(`${URL}/?at=2024-03-03T12:00:10Z&mode=diff&before=-1h`, async (page) => {
    assert.match(await page.locator('#note').textContent(), /shown by namespace/);
    assert.ok((await ids(page)).length <= 30);
  }));
