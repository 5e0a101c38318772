/** What Grafana shares with plugins: they name these modules and get the page's own. */

import * as emotionCss from '@emotion/css';
import * as data from '@grafana/data';
import * as runtime from '@grafana/runtime';
import * as ui from '@grafana/ui';
import * as react from 'react';
import * as jsxRuntime from 'react/jsx-runtime';
import * as reactDom from 'react-dom';
import * as rxjs from 'rxjs';

interface SystemModule {
  import(id: string): Promise<unknown>;
  set(id: string, module: unknown): void;
  addImportMap(map: { imports: Record<string, string> }): void;
}

declare const System: SystemModule;

const SHARED: Readonly<Record<string, unknown>> = {
  '@emotion/css': emotionCss,
  '@grafana/data': data,
  '@grafana/runtime': runtime,
  '@grafana/ui': ui,
  react,
  'react/jsx-runtime': jsxRuntime,
  'react-dom': reactDom,
  rxjs,
};

export function shareModules(): void {
  const imports = Object.fromEntries(Object.keys(SHARED).map((name) => [name, `package:${name}`]));
  System.addImportMap({ imports });
  for (const [name, module] of Object.entries(SHARED)) {
    System.set(`package:${name}`, { ...(module as object), default: module, __esModule: true });
  }
}

/** The built plugin of an id, as Grafana would load it. */
export async function importPlugin<T>(id: string): Promise<T> {
  const module = (await System.import(`/public/plugins/${id}/module.js`)) as { plugin?: T; default?: { plugin: T } };
  return (module.plugin ?? module.default?.plugin) as T;
}
