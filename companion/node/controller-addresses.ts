import { lookup } from 'node:dns/promises';
import type { Logger } from 'pino';
import { pause } from '../bounds/backoff.ts';
import { messageOf } from '../frame/errors.ts';
import type { NodeMetrics } from './metrics.ts';

/** Replicas of a Deployment; a name with more addresses is not the controller's Service. */
export const controllersMax = 16;

/**
 * How soon a new replica is found; the stream shows when a replica is gone. Without any controller,
 * questions have no answer, so the interval is shorter. `minReadySeconds` of the controller's
 * Deployment relies on the first value.
 */
const lookupMs = { connected: 5_000, alone: 1_000 };

export type AddressesOptions = {
  /** Host name of the headless Service. */
  service: string;
  /** Addresses of a host name; the system's resolver unless a test says otherwise. */
  resolve?: (service: string) => Promise<string[]>;
  metrics: Pick<NodeMetrics, 'streamFailures'>;
  log: Logger;
  /** No stream is open. */
  isAlone(): boolean;
  /** All current addresses; not called while the lookup fails. */
  onFound(addresses: Set<string>): void;
};

/** Looks the controllers up periodically, until the signal aborts. */
export async function followAddresses(
  { service, resolve = resolveHost, metrics, log, isAlone, onFound }: AddressesOptions,
  stopped: AbortSignal,
): Promise<void> {
  let hasFailed = false;
  while (!stopped.aborted) {
    try {
      onFound(new Set((await resolve(service)).slice(0, controllersMax)));
      hasFailed = false;
    } catch (err) {
      // Known addresses stay, because a failure of DNS says nothing about controllers.
      metrics.streamFailures.inc({ reason: 'lookup' });
      // Only the first failure is logged; the metric counts the others.
      const level = hasFailed ? 'debug' : 'warn';
      log[level]({ service, err: messageOf(err) }, 'lookup of controllers failed');
      hasFailed = true;
    }
    await untilNext(isAlone, stopped);
  }
}

async function untilNext(isAlone: () => boolean, stopped: AbortSignal): Promise<void> {
  let waitedMs = 0;
  do {
    await pause(lookupMs.alone, stopped);
    waitedMs += lookupMs.alone;
  } while (!isAlone() && waitedMs < lookupMs.connected && !stopped.aborted);
}

async function resolveHost(service: string): Promise<string[]> {
  return (await lookup(service, { all: true })).map(({ address }) => address);
}
