import './.config/jest-setup';
import { MessageChannel } from 'node:worker_threads';

// jsdom has no MessageChannel, which React 19's scheduler asks for.
Object.assign(global, { MessageChannel });

// jsdom draws nothing; Grafana's Combobox measures its text on a canvas.
HTMLCanvasElement.prototype.getContext = () => ({ measureText: (text) => ({ width: text.length * 8 }) });
