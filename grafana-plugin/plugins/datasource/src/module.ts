import { DataSourcePlugin } from '@grafana/data';

import { TopologyDataSource } from './datasource';
import { ConfigEditor } from './editor/ConfigEditor';
import { QueryEditor } from './editor/QueryEditor';
import type { TopologyOptions, TopologyQuery } from './types';

export const plugin = new DataSourcePlugin<TopologyDataSource, TopologyQuery, TopologyOptions>(TopologyDataSource)
  .setConfigEditor(ConfigEditor)
  .setQueryEditor(QueryEditor);
