// Both plugins in one: what `npm run compatible` compares with older packages of Grafana. levitate looks for the
// installed ones beside the file it is given.
export * as datasource from './datasource/src/module';
export * as panel from './panel/src/module';
