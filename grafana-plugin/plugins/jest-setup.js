import './.config/jest-setup';
import { MessageChannel } from 'node:worker_threads';

// jsdom has no MessageChannel, which React 19's scheduler asks for.
Object.assign(global, { MessageChannel });
