import type { Change } from './answers.ts';

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
  keepToken(decodeURIComponent(told));
  history.replaceState(null, '', location.pathname);
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
  const texts = Object.entries(query).map(([name, value]): [string, string] => [
    name,
    String(value),
  ]);
  const response = await fetch(`/api/v1/${path}?${new URLSearchParams(texts)}`, {
    headers: headers(),
  });
  const body = await response.json().catch(() => ({ error: `status ${response.status}` }));
  if (!response.ok) throw new Failure(response.status, body.error);
  playedNamespaces = body.played ?? [];
  return body as Answer;
}

let playedNamespaces: readonly string[] = [];

/** Namespaces that a demo makes up, as the last answer says. */
export function played(): readonly string[] {
  return playedNamespaces;
}

const againMs = 2_000;

export type Listener = { onChange(change: Change): void; onTime(): void };

/** Follows events for ever, and resumes after the last one that arrived. */
export async function follow({ onChange, onTime }: Listener): Promise<void> {
  let last = '';
  for (;;) {
    try {
      const more = headers(last ? { 'last-event-id': last } : {});
      const response = await fetch('/api/v1/events', { headers: more });
      const reader = response.ok && response.body?.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      for (let part = reader && (await reader.read()); part && !part.done; ) {
        const events = `${text}${part.value}`.split('\n\n');
        text = events.pop() ?? '';
        for (const event of events) {
          last = /^id: (.*)$/m.exec(event)?.[1] ?? last;
          const data = /^data: (.*)$/m.exec(event)?.[1] ?? '{}';
          onTime();
          if (event.includes('event: change')) onChange(JSON.parse(data) as Change);
        }
        part = reader && (await reader.read());
      }
    } catch {
      // The controller is being replaced, or the network is away: the page says how old it is.
    }
    await new Promise((resolve) => setTimeout(resolve, againMs));
  }
}
