/** Queries of dashboard variables: `services()`, `services(namespace=shop, kind=database)`, `namespaces()`, … */

export interface VariableQuery {
  readonly values: keyof typeof LISTS;
  readonly parameters: Readonly<Record<string, string>>;
}

/** What can be listed, and the field of a service that holds it. */
const LISTS = { services: 'id', namespaces: 'namespace', kinds: 'kind' } as const;
const PARAMETERS = ['namespace', 'kind', 'search', 'layers'];

/**
 * @throws Error the text is no such query.
 */
export function parseVariableQuery(text: string): VariableQuery {
  const [, name, inner] = /^\s*(\w+)\s*\(([^()]*)\)\s*$/.exec(text) ?? [];
  if (!isList(name)) {
    const known = Object.keys(LISTS).map((list) => `${list}()`);
    throw new Error(`“${text}” is no query of a variable. Write ${known.join(', ')}, or services(namespace=shop).`);
  }
  const pairs = (inner ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
  return { values: name, parameters: Object.fromEntries(pairs.map(parsePair)) };
}

/** The distinct values that a list has in an answer of `/api/v1/services`, in order; an empty one is left out. */
export function valuesOf(answer: { services?: Array<Record<string, unknown>> }, list: VariableQuery['values']): string[] {
  const values = (answer.services ?? []).map((service) => String(service[LISTS[list]] ?? ''));
  return [...new Set(values)].filter(Boolean).sort();
}

function isList(name: string | undefined): name is VariableQuery['values'] {
  return name !== undefined && Object.hasOwn(LISTS, name);
}

function parsePair(pair: string): [string, string] {
  const [name, ...rest] = pair.split('=');
  const value = rest
    .join('=')
    .trim()
    .replace(/^(["'])(.*)\1$/, '$2');
  if (!PARAMETERS.includes(name.trim()) || !value) {
    throw new Error(`“${pair}” is no filter of services. Write one of ${PARAMETERS.join(', ')}, = and a value.`);
  }
  return [name.trim(), value];
}
