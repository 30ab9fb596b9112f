import type { Logger } from 'pino';
import { counted } from '../../core/mesh/counted.ts';
import type { HostRecord } from '../../core/mesh/records.ts';
import { defaultRevision } from '../../core/mesh/revision.ts';
import { canonical } from '../../core/scope/canonical.ts';
import {
  type SystemNamespaces,
  sentinelHost,
  sentinelOf,
  sentinelPorts,
  sentinelPortsMax,
} from '../../core/scope/sentinel.ts';
import type { KubeObject } from '../../kube/object.ts';
import type { ControllerMetrics } from '../metrics.ts';
import type { State } from '../state/state.ts';
import type { Sink } from './sink.ts';

/** Keeps the sentinel's ports equal to the HTTP ports that enabled namespaces see. */
export type SentinelKeeper = {
  /** A Service, a ServiceEntry or what a namespace sees changed. */
  mark(): void;
  /** Resolves when the last change is written; a scope without its port would miss first calls. */
  settled(): Promise<void>;
  stop(): Promise<void>;
};

/**
 * A new port is rare, and each write makes istiod push to every scoped proxy: gather changes for a
 * moment.
 */
const gatherMs = 1_000;
const retryMs = 5_000;
/** Most ports that a message names. */
const namedMax = 10;

export function createSentinelKeeper(options: {
  state: State;
  sink: Sink;
  log: Logger;
  metrics: ControllerMetrics;
  namespaces: SystemNamespaces;
}): SentinelKeeper {
  const { state, sink, log, metrics, namespaces } = options;
  const { namespace } = namespaces;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let told = '';

  async function run(): Promise<void> {
    if (!sink.mayWrite()) return;
    try {
      const { ports, leftOut } = sentinelPorts(recordsOf(state), namespaces, viewersOf(state));
      metrics.sentinelPorts.set(ports.length);
      metrics.sentinelPortsLeftOut.set(leftOut.length);
      const sentinel = sentinelOf(ports, namespace);
      await write(sentinel, ports);
      await tell(sentinel, leftOut);
    } catch (err) {
      log.error({ err }, 'writing the sentinel failed, will retry');
      schedule(retryMs);
    }
  }

  async function write(sentinel: KubeObject, ports: number[]): Promise<void> {
    const current = state.catalog.hosts
      .exact(sentinelHost)
      .find((record) => record.namespace === namespace);
    const currentPorts = current?.ports.map(({ port }) => port).sort((a, b) => a - b);
    if (canonical(currentPorts) === canonical(ports)) return;
    // Not left to the watch, so that the next run does not write the same again.
    state.catalog.upsert(await sink.apply(sentinel));
    log.info({ ports }, 'sentinel written');
  }

  /** Once for each change of what is left out. */
  async function tell(sentinel: KubeObject, leftOut: number[]): Promise<void> {
    const text = leftOut.join(', ');
    if (text === told) return;
    told = text;
    if (leftOut.length === 0) return;
    const named = `${leftOut.slice(0, namedMax).join(', ')}${leftOut.length > namedMax ? ', ...' : ''}`;
    const message =
      `More than ${sentinelPortsMax} ports have HTTP, and a listener takes about 60 KB of every scoped proxy. ` +
      `No listener for ${counted(leftOut.length, 'port')}, where first calls are served as TCP: ${named}. ` +
      'Use fewer ports, or export these Services to the namespaces that call them.';
    log.warn({ leftOut: leftOut.length, named }, 'ports left out of the sentinel');
    await sink.tell(sentinel, { reason: 'PortsLeftOut', message, isWarning: true });
  }

  function start(): void {
    clearTimeout(timer);
    timer = undefined;
    // One at a time: the next run sees what this one has written.
    running = running.then(run);
  }

  function schedule(delayMs: number): void {
    timer ??= setTimeout(start, delayMs);
  }

  return {
    mark: () => schedule(gatherMs),
    settled() {
      if (timer) start();
      return running;
    },
    async stop() {
      clearTimeout(timer);
      await running;
      // A failed run has scheduled the next one.
      clearTimeout(timer);
    },
  };
}

function* recordsOf({ catalog: { hosts } }: State): Generator<HostRecord> {
  for (const pattern of hosts.patterns()) {
    if (pattern !== sentinelHost) yield* hosts.exact(pattern);
  }
}

function viewersOf({ namespaces, catalog }: State) {
  const enabled = [...namespaces].filter(([, { label }]) => label !== undefined);
  return {
    namespaces: new Map(
      enabled.map(([name]) => {
        const revisions = catalog.revisionsIn(name);
        return [name, revisions.length > 0 ? revisions : [defaultRevision]] as const;
      }),
    ),
    exportsUnder: catalog.exportsUnder,
  };
}
