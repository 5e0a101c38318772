// Run one command in each plugin's own folder: create-plugin's tools look for `src/` and `.config/` where they are started.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const [command, ...args] = process.argv.slice(2);
for (const plugin of ['datasource', 'panel']) {
  const program = path.join(root, 'node_modules', '.bin', command);
  const { status } = spawnSync(program, args, { cwd: path.join(root, plugin), stdio: 'inherit' });
  if (status !== 0) {
    process.exit(status ?? 1);
  }
}
