// Bundle the unit tests and run them with Node's own test runner.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const tests = ['core', 'page'].flatMap((room) =>
  readdirSync(join(root, room), { recursive: true })
    .filter((path) => path.endsWith('.test.ts') && !path.includes('node_modules'))
    .map((path) => join(root, room, path)),
);
const out = mkdtempSync(join(tmpdir(), 'chronotope-tests-'));
try {
  await build({ entryPoints: tests, outdir: out, bundle: true, platform: 'node', format: 'esm', outExtension: { '.js': '.mjs' }, logLevel: 'warning', sourcemap: 'inline' });
  const files = readdirSync(out, { recursive: true }).filter((path) => path.endsWith('.test.mjs'));
  const { status } = spawnSync(process.execPath, ['--enable-source-maps', '--test', ...files], { cwd: out, stdio: 'inherit' });
  process.exitCode = status ?? 1;
} finally {
  rmSync(out, { recursive: true });
}
