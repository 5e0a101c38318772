// The built-in page in a real Chromium: themes, sizes, graphs too large, nothing at all, and assistive technology.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { settled } from './browser.mjs';
import { accessible, at, ids, LARGE, onScreen, picture, PICTURES, place, places, TOGETHER, URL, useBrowser, visit } from './visiting.mjs';

useBrowser();

describe('the page, as it looks', TOGETHER, () => {
  it('an empty time says what to do, and leads to data', () =>
    visit(`${URL}/?at=2020-01-01T00:00:00Z`, async (page) => {
      assert.ok(await page.getByRole('heading', { name: 'Nothing was seen at this time' }).isVisible());
      await accessible(page, 'empty');
      await page.click('#latest');
      await page.waitForFunction(() => window.chronotope.view.graph.nodes.length > 0);
    }));

  it('a question that cannot be answered is explained as the server does', () =>
    visit(`${URL}/?at=yesterday`, async (page) => {
      assert.match(await page.locator('#problem').textContent(), /yesterday/);
    }, { expected: /400|422/ }));

  it('a server that went away is asked again until it is back', () =>
    visit(at('10:50'), async (page) => {
      await page.context().setOffline(true);
      await page.click('#earlier');
      const problem = page.locator('#problem:visible');
      await problem.waitFor();
      assert.match(await problem.textContent(), /does not answer.*What is drawn is from 2024-03-01 10:50:00 UTC/);
      const wanted = await page.locator('#time').textContent();
      await page.context().setOffline(false);
      await problem.waitFor({ state: 'hidden' });
      await settled(page);
      assert.equal(await page.locator('#time').textContent(), wanted);
    }, { expected: /ERR_INTERNET_DISCONNECTED/ }));

  it('a hostile name is text', () =>
    visit(at('10:20', `&search=${encodeURIComponent('<img src=x onerror=alert(1)>')}&focus=${encodeURIComponent('<b>x</b>')}`), async (page) => {
      assert.equal(await page.locator('#over b, #over img').count(), 0);
      assert.match(await page.locator('#problem').textContent(), /never seen/);
    }, { expected: /422/ }));

  for (const colorScheme of ['light', 'dark']) {
    it(`nothing stands in the way of assistive technology (${colorScheme})`, () =>
      visit(at('10:50', '&label=rate&select=shop/cart'), async (page) => {
        await page.locator('#drawer').getByRole('heading', { name: 'Callees' }).waitFor();
        await accessible(page, 'details');
        await picture(page, `details-${colorScheme}`);
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
        await page.setViewportSize({ width: 420, height: 800 });
        await page.goto(at('10:50', '&colour=layers'));
        await settled(page);
        await accessible(page, 'small');
        await picture(page, `small-${colorScheme}`);
      }, { colorScheme }));

    it(`pictures (${colorScheme})`, { skip: !PICTURES && 'no place for them was given' }, async () => {
      await visit(at('10:50', '&label=rate'), (page) => picture(page, `wide-${colorScheme}`), { colorScheme, width: 1680, height: 1000 });
      if (LARGE) await visit(LARGE, (page) => picture(page, `huge-${colorScheme}`), { colorScheme });
    });
  }

  it('a large graph is drawn whole, and can be zoomed into until every name can be read', { skip: !LARGE && 'no large graph was given' }, () =>
    visit(LARGE, async (page) => {
      const count = (await ids(page)).length;
      assert.ok(count > 1000);
      const box = await page.locator('#drawing').boundingBox();
      for (const { x, y } of Object.values(await places(page))) assert.ok(x >= 0 && y >= 0 && x <= box.width && y <= box.height);
      for (let step = 0; step < 6; step++) await page.click('#closer');
      await settled(page);
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

  it('the neighbourhood of one service of a large graph is drawn close, and keeps its places', { skip: !LARGE && 'no large graph was given' }, () =>
    visit(LARGE, async (page) => {
      const far = await page.evaluate(() => {
        const { graph } = window.chronotope.view;
        const place = (id) => window.chronotope.view.screenOf(id);
        const [{ source, target }] = [...graph.edges].sort((a, b) => Math.abs(place(b.source).x - place(b.target).x) - Math.abs(place(a.source).x - place(a.target).x));
        return { source, target };
      });
      await page.goto(`${LARGE}&focus=${encodeURIComponent(far.source)}`);
      await settled(page);
      const [one, other] = [await place(page, far.source), await place(page, far.target)];
      const scale = await page.evaluate(() => window.chronotope.view.viewport.scale);
      assert.ok(scale > 0.3, `it is drawn at ${scale}`);
      await page.click('#theme');
      assert.deepEqual([await place(page, far.source), await place(page, far.target)], [one, other]);
    }));

  it('what opens stays inside of the window, however wide it is', () =>
    visit(at('10:50', '&mode=diff&before=-30m'), async (page) => {
      await page.click('#display summary');
      for (const width of [1440, 1100, 900, 700, 420]) {
        await page.setViewportSize({ width, height: 800 });
        const box = await page.locator('#looks').boundingBox();
        assert.ok(box.x >= 0 && box.x + box.width <= width, `from ${box.x} to ${box.x + box.width} of ${width}`);
        await picture(page, `display-${width}`);
      }
    }));

  it('a graph too large to read is shown by namespace, and says so', () =>
    visit(`${URL}/?at=2024-03-03T12:00:10Z`, async (page) => {
      assert.match(await page.locator('#note').textContent(), /3000 services are too many to read: shown by namespace/);
      assert.equal((await ids(page)).length, 30);
      await page.mouse.dblclick(...(await onScreen(page, 'n7')));
      await page.waitForFunction(() => window.chronotope.view.graph.nodes.some(({ id }) => id.startsWith('n7/')));
      await picture(page, 'opened-namespace');
    }));

  it('a comparison of two times that is too large is shown by namespace too', () =>
    visit(`${URL}/?at=2024-03-03T12:00:10Z&mode=diff&before=-1h`, async (page) => {
      assert.match(await page.locator('#note').textContent(), /shown by namespace/);
      assert.ok((await ids(page)).length <= 30);
    }));
});
