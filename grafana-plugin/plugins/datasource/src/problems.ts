/** Errors as a person wants to read them. */

import { isFetchError } from '@grafana/runtime';

/** What went wrong and what to do. The server's own words (RFC 9457 `detail`) where there are any. */
export function problemText(error: unknown): string {
  if (isFetchError(error)) {
    const data: unknown = error.data;
    const { detail, title } = (typeof data === 'object' && data !== null ? data : {}) as Record<string, unknown>;
    if (typeof detail === 'string' && detail) {
      return typeof title === 'string' && title && !detail.startsWith(title) ? `${title}: ${detail}` : detail;
    }
    return statusText(error.status, error.statusText);
  }
  return error instanceof Error ? error.message : String(error);
}

function statusText(status: number, text: string | undefined): string {
  if (status === 502 || status === 504 || status <= 0) {
    return 'Grafana cannot reach the chronotope server. Check the URL of the data source, and that the server runs.';
  }
  if (status === 401 || status === 403) {
    return `The chronotope server, or a proxy before it, refuses access (${status}). Check the data source’s credentials.`;
  }
  if (status === 404) {
    return 'There is no chronotope API at the URL of the data source. It is the server’s address, without a path.';
  }
  return `The chronotope server answered ${status}${text ? ` ${text}` : ''}.`;
}
