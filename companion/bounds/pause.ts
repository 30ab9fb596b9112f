import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds of rest; over at once where the signal is or comes, which is no error. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
