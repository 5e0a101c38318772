// What a Grafana server does for a dashboard page: gives out plugins, and passes requests of data sources on.
import { createServer } from 'node:http';
import { createReadStream, existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

const here = path.dirname(fileURLToPath(import.meta.url));
const { resolve } = createRequire(import.meta.url);
const SYSTEMJS = path.dirname(resolve('systemjs/package.json'));
const GRAFANA_UI = path.dirname(resolve('@grafana/ui/package.json'));
const TYPES = { '.js': 'text/javascript', '.json': 'application/json', '.svg': 'image/svg+xml', '.html': 'text/html' };
const PLUGINS = { 'chronotope-topology-panel': 'panel', 'chronotope-topology-datasource': 'datasource' };
const PROXY = /^\/api\/datasources\/proxy\/uid\/[^/]+(\/.*)$/;

/** Serve the host page on a free port, its data source going to a chronotope server. Returns its URL and an end. */
export async function serveHost(chronotopeUrl) {
  const server = createServer((request, response) => {
    const { pathname, search } = new URL(request.url, 'http://host');
    const [, rest] = PROXY.exec(pathname) ?? [];
    if (rest) {
      return proxy(`${chronotopeUrl}${rest}${search}`, response);
    }
    const file = fileOf(pathname);
    if (!existsSync(file)) {
      return response.writeHead(404).end();
    }
    // Kept as long as Grafana lets browsers keep its own scripts: a second page of a browser need not compile them again.
    response.writeHead(200, { 'Content-Type': TYPES[path.extname(file)] ?? 'application/octet-stream', 'Cache-Control': 'max-age=3600' });
    createReadStream(file).pipe(response);
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

function fileOf(pathname) {
  const [, id, rest] = /^\/public\/plugins\/([^/]+)\/(.+)$/.exec(pathname) ?? [];
  if (id && PLUGINS[id]) {
    return path.join(here, '..', PLUGINS[id], 'dist', path.normalize(`/${rest}`));
  }
  if (pathname.startsWith('/systemjs/')) {
    return path.join(SYSTEMJS, 'dist', path.normalize(pathname.slice(9)));
  }
  if (pathname.startsWith('/public/build/img/')) {
    const images = path.join(GRAFANA_UI, 'dist', 'public', 'img');
    return path.join(images, path.normalize(pathname.slice(17)));
  }
  const own = { '/host.js': 'dist/host.js' }[pathname];
  return path.join(here, own ?? (pathname === '/' ? 'index.html' : 'nowhere'));
}

async function proxy(url, response) {
  try {
    const answer = await fetch(url, { headers: { 'Accept-Encoding': 'identity' } });
    const body = Buffer.from(await answer.arrayBuffer());
    response.writeHead(answer.status, { 'Content-Type': answer.headers.get('content-type') ?? 'text/plain' }).end(body);
  } catch {
    response.writeHead(502).end();
  }
}
