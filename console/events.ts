import type { Change } from './answers.ts';

/** Follows the events of the controller. Pure but for the clock: the request is the caller's. */

export type Listener = { onChange(change: Change): void; onTime(): void };

/** `last`: the number of the last change that arrived; empty before the first. */
export type RequestEvents = (last: string, signal: AbortSignal) => Promise<Response>;

const againMs = 2_000;
/**
 * The controller tells its time once a second. A connection that is silent for this long is given
 * up: after a lost network or a sleep of the computer it might never end by itself.
 */
export const silentMs = 10_000;

/** Follows events until `stop`, and resumes after the last one that arrived. */
export async function follow(
  request: RequestEvents,
  listener: Listener,
  stop?: AbortSignal,
): Promise<void> {
  let last = '';
  const onEvent = (event: string) => {
    last = /^id: (.*)$/m.exec(event)?.[1] ?? last;
    const data = /^data: (.*)$/m.exec(event)?.[1] ?? '{}';
    listener.onTime();
    if (event.includes('event: change')) listener.onChange(JSON.parse(data) as Change);
  };
  while (!stop?.aborted) {
    const attempt = new AbortController();
    try {
      await readOnce(() => request(last, attempt.signal), attempt, onEvent);
    } catch {
      // The controller is being replaced, or the network is away: the page says how old it is.
    }
    await new Promise((resolve) => setTimeout(resolve, againMs));
  }
}

async function readOnce(
  request: () => Promise<Response>,
  attempt: AbortController,
  onEvent: (event: string) => void,
): Promise<void> {
  let silence = setTimeout(() => attempt.abort(), silentMs);
  try {
    const response = await request();
    if (!response.ok || !response.body) return;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    // Not every stream of a response ends by the signal of its request.
    attempt.signal.addEventListener('abort', () => void reader.cancel().catch(() => {}));
    let text = '';
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      clearTimeout(silence);
      silence = setTimeout(() => attempt.abort(), silentMs);
      const events = `${text}${part.value}`.split('\n\n');
      text = events.pop() ?? '';
      for (const event of events) onEvent(event);
    }
  } finally {
    clearTimeout(silence);
  }
}
