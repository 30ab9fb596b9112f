import { EventEmitter } from 'node:events';
import { log, testMetrics } from '../../../box/played/fixtures.ts';
import { filterReport } from '../../../box/played/report-body.ts';
import type { NodeMessage } from '../../../companion/contract/rpc.ts';
import { type Aggregate, createAggregate } from '../../../companion/node/aggregate.ts';
import { type Link, startLink } from '../../../companion/node/link.ts';
import type { Pod } from '../../../companion/node/pods.ts';
import type { Random } from './random.ts';
import type { Peer } from './replica.ts';

type Connection = { peer: Peer; link: Link; end(): void };

/** A node companion with its filters: the real tables and streams, with connections that break. */
export function createNode(name: string, random: Random) {
  let aggregate: Aggregate;
  let connections: Connection[] = [];
  const filters = new Map<string, Filter>();
  const unreachable = new Set<string>();

  function start(): void {
    const { metrics } = testMetrics();
    aggregate = createAggregate({ metrics, now: () => performance.now() });
  }

  function connect(peer: Peer): void {
    const events = new EventEmitter();
    let isOpen = true;
    const arrive = (message: NodeMessage) => {
      if (!isOpen || !peer.isAlive()) return;
      const answer = peer.hear(name, message);
      if (answer) setTimeout(() => isOpen && events.emit('data', answer), 5);
    };
    const stream = {
      writableLength: 0,
      // Every message takes the same time, so that messages arrive in order.
      write: (message: NodeMessage) => setTimeout(arrive, 10, structuredClone(message)) && true,
      on: events.on.bind(events),
      cancel: () => end(),
    };
    peer.opened(name);
    const listener = (message: object) => isOpen && events.emit('data', message);
    peer.listeners.add(listener);
    const end = () => {
      if (isOpen) peer.closed(name);
      isOpen = false;
      link.stop();
      peer.listeners.delete(listener);
      connections = connections.filter((each) => each.link !== link);
    };
    const link = startLink({
      stream: stream as never,
      hello: { node: name, version: '1' },
      aggregate,
      ...testMetrics(),
      log,
      now: () => performance.now(),
      onAnswer: () => undefined,
      onCatalog: () => undefined,
    });
    connections.push({ peer, link, end });
  }

  function flush(filter: Filter): void {
    const report = filter.report();
    const { whole, firstSight } = aggregate.record(filter.pod, report);
    if (whole) filter.acknowledged();
    else filter.forgotten();
    for (const { link } of connections) link.changed(filter.pod.uid, firstSight);
  }

  start();
  return {
    name,
    unreachable,
    /** Keeps streams to all reachable replicas, as the uplink does. */
    keepConnected(peers: readonly Peer[]): void {
      for (const { peer, end } of [...connections])
        if (!peer.isAlive() || unreachable.has(peer.identity)) end();
      for (const peer of peers) {
        const isOpen = connections.some((each) => each.peer === peer);
        if (!isOpen && peer.isAlive() && !unreachable.has(peer.identity)) connect(peer);
      }
    },
    /** The companion loses its memory. Filters and pods stay. */
    restart(): void {
      for (const { end } of [...connections]) end();
      start();
    },
    addPod(pod: Pod): void {
      filters.set(pod.uid, createFilter(pod, random));
    },
    removePod(uid: string): void {
      const filter = filters.get(uid);
      if (!filter) return;
      filters.delete(uid);
      aggregate.forget(uid);
      for (const { link } of connections) link.gone(filter.pod);
    },
    call(uid: string, cluster: string): void {
      filters.get(uid)?.count(cluster);
    },
    /** Every filter sends a report, as it does every few seconds. */
    flush(): void {
      for (const filter of filters.values()) if (random.chance(0.9)) flush(filter);
    },
  };
}

type Filter = ReturnType<typeof createFilter>;

/**
 * One VM with cumulative counters. The filter repeats only the counts that were not acknowledged.
 */
function createFilter(pod: Pod, random: Random) {
  const counts = new Map<string, number>();
  const unsaid = new Set<string>();
  const epoch = String(random.below(2 ** 31));
  let sequence = 0;
  return {
    pod,
    count(cluster: string) {
      counts.set(cluster, (counts.get(cluster) ?? 0) + 1);
      unsaid.add(cluster);
    },
    report() {
      sequence += 1;
      const news = [...unsaid].map((cluster) => [cluster, counts.get(cluster) ?? 0] as const);
      return filterReport(epoch, sequence, Object.fromEntries(news));
    },
    acknowledged: () => unsaid.clear(),
    forgotten() {
      for (const cluster of counts.keys()) unsaid.add(cluster);
    },
  };
}
