// The scaffold's settings, plus what Grafana 13's packages need: ES modules that Node's CommonJS loader cannot read.
process.env.TZ = 'UTC';

const scaffold = require('./.config/jest.config');
const { grafanaESModules, nodeModulesToTransform } = require('./.config/jest/utils');

const [compile] = Object.values(scaffold.transform);

module.exports = {
  ...scaffold,
  testTimeout: 60_000, // beside other work a first render may take long
  transform: { '^.+\\.(t|j|mj)sx?$': compile },
  transformIgnorePatterns: [nodeModulesToTransform([...grafanaESModules, '@react-hookz/web', '@ver0/deep-equal', 'd3-dispatch', 'd3-quadtree', 'd3-timer'])],
};
