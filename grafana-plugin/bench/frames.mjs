// How fast the drawing is in a real browser: time to the first drawing (places given), and pan and zoom frame by frame.
// `npm run bench`, or with sizes: `npm run bench -- 100x500 1238x4271`. Every answer is checked: as many nodes are drawn as given.
import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';
import { startBrowser } from '../page/browser/browser.mjs';

const SIZES = process.argv.slice(2).length ? process.argv.slice(2) : ['100x400', '500x2000', '2000x10000', '5000x30000'];
const FRAMES = 120;

/** Callers left of callees, some called by very many: the shape of service graphs. Deterministic. */
function sample(nodes, edges) {
  let seed = 7;
  const random = () => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31;
  const columns = Math.ceil(Math.sqrt(nodes * 0.6));
  const id = (at) => `team-${at % 40}/service-${at}`;
  const kinds = ['service', 'service', 'service', 'database', 'messaging', 'external'];
  return {
    answer: {
      window: { seconds: 300 },
      nodes: Array.from({ length: nodes }, (_, at) => ({ id: id(at), name: `service-${at}`, namespace: `team-${at % 40}`, kind: kinds[at % 6], attributes: {}, layers: ['trace'], inbound: { trace: { calls: at * 3, errors: at % 17 ? 0 : at } } })),
      edges: Array.from({ length: edges }, (_, at) => {
        const target = Math.floor(random() ** 2 * nodes);
        const calls = Math.floor(random() ** 4 * 1e5);
        return { id: String(at), source: id(Math.floor(random() * nodes)), target: id(target), protocol: 'grpc', layers: ['trace'], via: at % 9 ? [] : ['lb'], evidence: { trace: { calls, calls_per_second: calls / 300, error_ratio: at % 31 ? 0 : 0.02, latency_ms: { mean: 8 } } } };
      }),
    },
    positions: Array.from({ length: nodes }, (_, at) => [id(at), (columns - 1 - Math.floor((at * columns) / nodes)) * 190, (at % Math.ceil(nodes / columns)) * 76]),
  };
}

const quantile = (values, share) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];

const bundle = await build({ entryPoints: [fileURLToPath(new URL('entry.ts', import.meta.url))], bundle: true, minify: true, write: false, format: 'iife', target: 'es2022' });
const browser = await startBrowser();
try {
  const rows = [];
  for (const size of SIZES) {
    const [nodes, edges] = size.split('x').map(Number);
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    await page.setContent('<!doctype html><div id="host"></div>');
    await page.addStyleTag({ content: 'body { margin: 0 } #host { width: 1440px; height: 900px }' });
    await page.addScriptTag({ content: bundle.outputFiles[0].text });
    const given = sample(nodes, edges);
    const first = [];
    for (let round = 0; round < 3; round++) first.push(await page.evaluate((own) => window.bench.firstDrawing(own), given));
    const row = { nodes, edges, 'first drawing ms': Math.round(quantile(first, 0.5)) };
    for (const move of ['pan', 'zoom']) {
      const { own, whole, rest } = await page.evaluate(([kind, count]) => window.bench.moving(kind, count), [move, FRAMES]);
      if (own.length < FRAMES / 4) throw new Error(`${size}: only ${own.length} of ${FRAMES} frames were drawn`);
      Object.assign(row, { [`${move} own p50`]: +quantile(own, 0.5).toFixed(2), [`${move} own p99`]: +quantile(own, 0.99).toFixed(2), [`${move} frame p50`]: Math.round(quantile(whole, 0.5)), [`${move} at rest`]: Math.round(rest) });
    }
    rows.push(row);
    await page.close();
  }
  console.table(rows);
} finally {
  await browser.close();
}
