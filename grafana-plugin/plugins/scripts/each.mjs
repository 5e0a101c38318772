// Run one command in each plugin's own folder: create-plugin's tools look for `src/` and `.config/` where they are started.
// npm puts the programs of the workspace on the path.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const [command, ...args] = process.argv.slice(2);
for (const plugin of ['datasource', 'panel']) {
  const { status } = spawnSync(command, args, { cwd: path.join(root, plugin), stdio: 'inherit' });
  if (status !== 0) {
    process.exit(status ?? 1);
  }
}
