// Build the page into server/page, where the Python package serves it from; `--check` only compares.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = join(root, '..', 'server', 'page');
const MOST_BYTES = 150_000; // all files together, gzipped

const script = await build({ entryPoints: [join(root, 'page/src/main.ts')], bundle: true, minify: true, format: 'iife', target: 'es2022', write: false, legalComments: 'none', logLevel: 'warning' });
const style = await build({ entryPoints: [join(root, 'page/src/page.css')], minify: true, write: false, logLevel: 'warning' });
const files = {
  'index.html': readFileSync(join(root, 'page/src/index.html')),
  'page.css': Buffer.from(style.outputFiles[0].contents),
  'page.js': Buffer.from(script.outputFiles[0].contents),
};
const bytes = Object.values(files).reduce((sum, body) => sum + gzipSync(body, { level: 9 }).length, 0);
console.log(`server/page: ${bytes} bytes gzipped`);
if (bytes > MOST_BYTES) throw new Error(`the page has ${bytes} bytes gzipped, more than ${MOST_BYTES}`);
for (const [name, body] of Object.entries(files)) {
  const path = join(out, name);
  const same = existsSync(path) && readFileSync(path).equals(body);
  if (same) continue;
  if (process.argv.includes('--check')) throw new Error(`server/page/${name} is not what grafana-plugin/page gives: npm run build`);
  writeFileSync(path, body);
}
