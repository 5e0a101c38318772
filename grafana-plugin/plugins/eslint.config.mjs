import { defineConfig } from 'eslint/config';
import grafanaConfig from '@grafana/eslint-config/flat.js';

export default defineConfig([
  { ignores: ['**/dist/', '**/.config/', '**/node_modules/', 'artefacts/'] },
  ...grafanaConfig,
  { rules: { 'react/prop-types': 'off' } },
]);
