// Bundle the host page: Grafana's own packages and React, once, for the page and for the plugins that it loads.
import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

const here = path.dirname(fileURLToPath(import.meta.url));

await build({
  entryPoints: [path.join(here, 'src', 'main.tsx')],
  outfile: path.join(here, 'dist', 'host.js'),
  bundle: true,
  minify: true,
  format: 'iife',
  platform: 'browser',
  target: 'es2022',
  logLevel: 'error',
  // SystemJS brings a `define`, which lodash and others would take for their own loader.
  define: { 'process.env.NODE_ENV': '"production"', global: 'window', define: 'undefined' },
  loader: { '.svg': 'dataurl', '.png': 'dataurl', '.woff2': 'dataurl', '.ttf': 'empty' },
});
