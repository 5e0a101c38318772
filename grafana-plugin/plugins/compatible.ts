// Both plugins in one: what `npm run compatible` compares with older packages of Grafana.
export * as datasource from './datasource/src/module';
export * as panel from './panel/src/module';
