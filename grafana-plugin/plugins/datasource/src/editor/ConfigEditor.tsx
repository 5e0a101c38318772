/** Where the server is. Credentials, if a proxy in front of it wants some, are Grafana's own settings. */

import React from 'react';

import type { DataSourcePluginOptionsEditorProps } from '@grafana/data';
import { DataSourceHttpSettings } from '@grafana/ui';

import type { TopologyOptions } from '../types';

export function ConfigEditor({ options, onOptionsChange }: DataSourcePluginOptionsEditorProps<TopologyOptions>) {
  return (
    <DataSourceHttpSettings
      defaultUrl="http://localhost:8428"
      dataSourceConfig={options}
      onChange={onOptionsChange}
      showAccessOptions={false}
    />
  );
}
