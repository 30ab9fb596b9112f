import type { Logger } from 'pino';
import type { HostRecord } from '../../core/mesh/records.ts';
import { canonical } from '../../core/scope/canonical.ts';
import {
  type SystemNamespaces,
  sentinelHost,
  sentinelOf,
  sentinelPorts,
} from '../../core/scope/sentinel.ts';
import type { State } from '../state/state.ts';
import type { Sink } from './sink.ts';

/** Keeps the sentinel's ports equal to the HTTP ports of the mesh. */
export type SentinelKeeper = {
  /** A Service or ServiceEntry changed. */
  mark(): void;
  stop(): Promise<void>;
};

/**
 * A new port is rare, and each write makes istiod push to every scoped proxy: gather changes for a
 * moment.
 */
const gatherMs = 1_000;
const retryMs = 5_000;

export function createSentinelKeeper(options: {
  state: State;
  sink: Sink;
  log: Logger;
  namespaces: SystemNamespaces;
}): SentinelKeeper {
  const { state, sink, log, namespaces } = options;
  const { namespace } = namespaces;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();

  async function run(): Promise<void> {
    timer = undefined;
    if (!sink.mayWrite()) return;
    const ports = sentinelPorts(recordsOf(state), namespaces);
    const current = state.catalog.hosts
      .exact(sentinelHost)
      .find((record) => record.namespace === namespace);
    const currentPorts = current?.ports.map(({ port }) => port).sort((a, b) => a - b);
    if (canonical(currentPorts) === canonical(ports)) return;
    try {
      await sink.apply(sentinelOf(ports, namespace));
      log.info({ ports }, 'sentinel written');
    } catch (err) {
      log.error({ err }, 'writing the sentinel failed, will retry');
      schedule(retryMs);
    }
  }

  function schedule(delayMs: number): void {
    timer ??= setTimeout(() => {
      running = run();
    }, delayMs);
  }

  return {
    mark: () => schedule(gatherMs),
    async stop() {
      clearTimeout(timer);
      await running;
    },
  };
}

function* recordsOf({ catalog: { hosts } }: State): Generator<HostRecord> {
  for (const pattern of hosts.patterns()) {
    if (pattern !== sentinelHost) yield* hosts.exact(pattern);
  }
}
