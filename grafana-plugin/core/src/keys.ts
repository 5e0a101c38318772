/** From keys on the view's cursor to what a person meant. Knows nothing of graphs. */

export interface KeyActions {
  /** Go to a neighbour: one of the arrow keys. */
  step(arrow: string): void;
  open(): void;
  leave(): void;
  zoom(factor: number): void;
  fit(): void;
  /** The cursor got the focus, or lost it. */
  focus(): void;
  blur(): void;
}

/** Listen to keys on a cursor inside of a host; returns a function that stops. */
export function listenKeys(host: HTMLElement, cursor: HTMLElement, actions: KeyActions): () => void {
  const key = (event: KeyboardEvent): void => {
    if (event.target !== cursor || event.ctrlKey || event.metaKey || event.altKey || !press(event.key, actions)) return;
    event.preventDefault();
    event.stopPropagation();
  };
  const focus = (): void => actions.focus();
  const blur = (): void => actions.blur();
  host.addEventListener('keydown', key);
  cursor.addEventListener('focus', focus);
  cursor.addEventListener('blur', blur);
  return () => {
    host.removeEventListener('keydown', key);
    cursor.removeEventListener('focus', focus);
    cursor.removeEventListener('blur', blur);
  };
}

/** Do what a key means; false when it means nothing here. */
function press(key: string, actions: KeyActions): boolean {
  if (key.startsWith('Arrow')) actions.step(key);
  else if (key === 'Enter' || key === ' ') actions.open();
  else if (key === 'Escape') actions.leave();
  else if (key === '+' || key === '=') actions.zoom(1.25);
  else if (key === '-') actions.zoom(0.8);
  else if (key === '0') actions.fit();
  else return false;
  return true;
}
