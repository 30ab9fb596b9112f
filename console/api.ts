/** The requests of the page; docs/console.md describes them. */

/** An answer other than 200. */
export class Failure extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const tokenKey = 'lazyscope-token';

/** A token in the fragment never reaches a server, and does not stay in the address. */
export function takeToken(): void {
  const told = /^#token=(.+)$/.exec(location.hash)?.[1];
  if (!told) return;
  keepToken(decoded(told));
  history.replaceState(null, '', location.pathname);
}

/** A token may have a `%` of its own. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function keepToken(token: string): void {
  sessionStorage.setItem(tokenKey, token);
}

export function dropToken(): void {
  sessionStorage.removeItem(tokenKey);
}

function headers(more: Record<string, string> = {}): Record<string, string> {
  const token = sessionStorage.getItem(tokenKey);
  return { ...(token && { authorization: `Bearer ${token}` }), ...more };
}

export async function ask<Answer>(path: string, query: Record<string, string | number> = {}) {
  // The clock of the controller has fractions of milliseconds; its queries have whole numbers.
  const texts = Object.entries(query).map(([name, value]): [string, string] => [
    name,
    String(typeof value === 'number' ? Math.round(value) : value),
  ]);
  const response = await fetch(`/api/v1/${path}?${new URLSearchParams(texts)}`, {
    headers: headers(),
  });
  const body = await response.json().catch(() => ({ error: `status ${response.status}` }));
  if (!response.ok) throw new Failure(response.status, body.error);
  playedNamespaces = body.played ?? [];
  behindMs = body.now - Date.now();
  return body as Answer;
}

let behindMs = 0;

/** By how much the clock of this browser is behind that of the controller, in milliseconds. */
export function clockBehind(): number {
  return behindMs;
}

/** The controller's time: times of its answers are compared with this, not with the browser's. */
export function controllerNow(): number {
  return Date.now() + behindMs;
}

let playedNamespaces: readonly string[] = [];

/** Namespaces that a demo makes up, as the last answer says. */
export function played(): readonly string[] {
  return playedNamespaces;
}

export async function requestEvents(last: string, signal: AbortSignal): Promise<Response> {
  return fetch('/api/v1/events', {
    headers: headers(last ? { 'last-event-id': last } : {}),
    signal,
  });
}
