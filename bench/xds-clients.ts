import { setTimeout as sleep } from 'node:timers/promises';
import { startGoClients } from './go-clients.ts';

/** Sums over all played proxies since they began to connect (bench/xds-clients). */
export type Reading = {
  ready: number;
  ended: number;
  bytes: number;
  responses: number;
  resources: number;
};

export type XdsClients = {
  read(): Promise<Reading>;
  /** Returns when each proxy has its configuration and has received nothing for a while. */
  untilQuiet(): Promise<Reading>;
  stop(): Promise<void>;
};

/** Longer than istiod debounces changes before a push (PILOT_DEBOUNCE_MAX, 10 s by default). */
const quietMs = 12_000;
const startMs = 600_000;

export async function startXdsClients(
  istiod: string,
  count: number,
  say: (line: string) => void,
  more: string[] = [],
): Promise<XdsClients> {
  const args = ['-istiod', istiod, '-count', String(count), ...more];
  const clients = await startGoClients<Reading>('xds-clients', args, say);
  async function read(): Promise<Reading> {
    const reading = await clients.read();
    if (reading.ended > 0) throw new Error(`istiod ended ${reading.ended} of ${count} streams`);
    return reading;
  }
  async function untilQuiet(): Promise<Reading> {
    const deadline = Date.now() + startMs;
    let last = await read();
    let since = Date.now();
    while (last.ready < count || Date.now() - since < quietMs) {
      if (Date.now() > deadline)
        throw new Error(
          `only ${last.ready} of ${count} proxies were ready, or istiod never became idle`,
        );
      await sleep(500);
      const now = await read();
      if (now.responses !== last.responses) since = Date.now();
      last = now;
    }
    return last;
  }
  return { read, untilQuiet, stop: clients.stop };
}
