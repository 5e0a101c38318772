// Compare what the plugins use of Grafana's packages with the oldest Grafana that they claim to run on.
// levitate's own command finds what is installed by `npm list`, which shows nothing of a workspace, and then passes
// silently. So its functions are called here, and a package that is not found or not read is an error.
import { createTsProgram, getIncompatibilitiesBetweenPackages, printIncompatibilities } from '@grafana/levitate';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const OLDEST = '12.4.2';
const PACKAGES = ['@grafana/data', '@grafana/ui', '@grafana/runtime'];
const IGNORED = { additions: [], changes: [], removals: [] };

const require = createRequire(import.meta.url);
const program = createTsProgram(fileURLToPath(new URL('../compatible.ts', import.meta.url)));
for (const name of PACKAGES) {
  const { version } = require(`${name}/package.json`);
  const found = await getIncompatibilitiesBetweenPackages(program, `${name}@${version}`, `${name}@${OLDEST}`, IGNORED);
  console.log(`${name}: ${version} and ${OLDEST} differ in ${found.length} of the things that the plugins use`);
  if (found.length > 0) {
    printIncompatibilities(found);
    process.exitCode = 1;
  }
}
