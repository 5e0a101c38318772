/** Elements in one call. Text is set as text, never as markup: no name in the data can become a script. */

type Child = Node | string | null | false | undefined;
type Attributes = Readonly<Record<string, string | number | boolean | ((event: never) => void) | null | undefined>>;

/** `h('button', {class: 'x', onclick: f}, 'text')`; functions become listeners, `true` an attribute without value. */
export function h<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  dress(element, attributes, children);
  return element;
}

/** The same for SVG. */
export function svg<K extends keyof SVGElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  dress(element, attributes, children);
  return element;
}

function dress(element: Element, attributes: Attributes, children: readonly Child[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name.slice(2), value as EventListener);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.filter((child): child is Node | string => Boolean(child)));
}

/** An element of the page that must be there. */
export function part<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element ${id}`);
  return found as T;
}

/** A list to choose from. */
export function choice(
  label: string,
  name: string,
  options: readonly (readonly [value: string, text: string])[],
  value: string,
  chosen: (value: string) => void,
): HTMLLabelElement {
  const select = h(
    'select',
    { name, onchange: () => chosen(select.value) },
    ...options.map(([own, text]) => h('option', { value: own }, text)),
  );
  showIn(select, value);
  return h('label', { class: 'choice' }, h('span', {}, label), select);
}

/** Show a value in a list of the page; one that the list does not have, from a shared address, is added. */
export function showIn(select: HTMLSelectElement, value: string): void {
  if (![...select.options].some((option) => option.value === value)) select.add(new Option(value));
  select.value = value;
}

/** A row of buttons of which one is pressed. */
export function segments(
  label: string,
  options: readonly (readonly [value: string, text: string])[],
  value: string,
  chosen: (value: string) => void,
): HTMLDivElement {
  const buttons = options.map(([own, text]) =>
    h('button', { type: 'button', 'aria-pressed': String(own === value), onclick: () => chosen(own) }, text),
  );
  return h('div', { class: 'segments', role: 'group', 'aria-label': label }, ...buttons);
}
