/** Starts the layout's worker. In a module of its own: its `import.meta` is what webpack makes the worker's address of. */

export function startLayout(): Worker {
  return new Worker(
    /* webpackEntryOptions: {library: {type: 'self', name: 'layout'}} */ new URL('./layout.worker.ts', import.meta.url)
  );
}
