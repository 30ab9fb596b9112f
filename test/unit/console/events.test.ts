import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { follow, silentMs } from '../../../console/events.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Responses that the test writes into, in the order of the requests. */
function startFollowing() {
  const requests: string[] = [];
  const writers: ReadableStreamDefaultController<Uint8Array>[] = [];
  const heard: string[] = [];
  const stop = new AbortController();
  const request = async (last: string) => {
    requests.push(last);
    const start = (writer: (typeof writers)[number]) => void writers.push(writer);
    return new Response(new ReadableStream<Uint8Array>({ start }));
  };
  const listener = {
    onChange: ({ host }: { host: string }) => void heard.push(host),
    onTime: () => void heard.push('time'),
  };
  void follow(request, listener, stop.signal);
  const write = (text: string) => writers.at(-1)?.enqueue(new TextEncoder().encode(text));
  return { requests, writers, heard, write, stop };
}

const change = (id: number) => `id: ${id}\nevent: change\ndata: {"host":"h${id}"}\n\n`;

test('an event that arrives in parts is one event, and a new request goes on after it', async () => {
  const { requests, writers, heard, write, stop } = startFollowing();
  await vi.advanceTimersByTimeAsync(0);
  write(change(7).slice(0, 20));
  await vi.advanceTimersByTimeAsync(1_000);
  write(change(7).slice(20));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(heard).toEqual(['time', 'h7']);
  writers.at(-1)?.close();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(requests).toEqual(['', '7']);
  stop.abort();
});

test('a connection that neither ends nor says anything is given up for a new one', async () => {
  const { requests, write, stop } = startFollowing();
  await vi.advanceTimersByTimeAsync(0);
  // One that is heard is kept, however long it lasts.
  for (let second = 0; second < 30; second++) {
    write(second === 29 ? change(9) : 'event: time\ndata: {}\n\n');
    await vi.advanceTimersByTimeAsync(1_000);
  }
  expect(requests).toEqual(['']);
  await vi.advanceTimersByTimeAsync(silentMs + 2_000);
  expect(requests).toEqual(['', '9']);
  stop.abort();
});
