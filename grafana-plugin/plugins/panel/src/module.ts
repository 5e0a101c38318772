import { PanelPlugin } from '@grafana/data';

import { TopologyPanel } from './TopologyPanel';
import type { PanelOptions } from './types';

const COLOURS: Array<{ value: PanelOptions['colourBy']; label: string }> = [
  { value: 'errors', label: 'Errors' },
  { value: 'latency', label: 'Latency' },
  { value: 'layers', label: 'Layers' },
  { value: 'value', label: 'Thresholds of the value' },
  { value: 'rate', label: 'None' },
];
const LABELS: Array<{ value: PanelOptions['edgeLabel']; label: string }> = [
  { value: 'none', label: 'Nothing' },
  { value: 'rate', label: 'Rate' },
  { value: 'errors', label: 'Errors' },
  { value: 'latency', label: 'Latency' },
  { value: 'protocol', label: 'Protocol' },
  { value: 'value', label: 'Value, in its unit' },
];

export const plugin = new PanelPlugin<PanelOptions>(TopologyPanel).useFieldConfig().setPanelOptions((builder) => {
  builder
    .addSelect({
      path: 'colourBy',
      name: 'Colour edges by',
      description: 'A comparison is always coloured by what was added, removed and changed',
      defaultValue: 'errors',
      settings: { options: COLOURS },
    })
    .addSelect({ path: 'edgeLabel', name: 'Write on edges', defaultValue: 'rate', settings: { options: LABELS } })
    .addBooleanSwitch({ path: 'showVia', name: 'Mark intermediaries', defaultValue: true })
    .addBooleanSwitch({
      path: 'showSlider',
      name: 'Time slider',
      description: 'Shown when the panel also has a timeline query',
      defaultValue: true,
    })
    .addNumberInput({ path: 'hops', name: 'Hops around a focus', defaultValue: 1, settings: { min: 1, integer: true } })
    .addTextInput({ path: 'collapseBy', name: 'Collapse by', description: 'namespace, kind or an attribute', defaultValue: '' })
    .addTextInput({
      path: 'compareVariable',
      name: 'Comparison variable',
      description: 'Dashboard variable that the graph query’s “Compare with” holds',
      defaultValue: 'compare',
    })
    .addTextInput({
      path: 'serviceVariable',
      name: 'Service variable',
      description: 'Dashboard variable that a click on a service sets',
      defaultValue: '',
    })
    .addCustomEditor({
      id: 'pinned',
      path: 'pinned',
      name: 'Pinned services',
      defaultValue: {},
      editor: () => null,
      showIf: () => false,
    });
});
