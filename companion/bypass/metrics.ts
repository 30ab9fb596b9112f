import type { Registry } from 'prom-client';
import { describeMetrics } from '../frame/metrics.ts';
import type { Stats } from './loader.ts';
import type { BypassState } from './state.ts';

const states: BypassState['name'][] = ['off', 'probing', 'refused', 'ready', 'active', 'draining'];

export type BypassMetrics = ReturnType<typeof createBypassMetrics>;

/** Registered only if the bypass is on. */
export function createBypassMetrics(registry: Registry) {
  const { counter, gauge } = describeMetrics(registry);
  const state = gauge(
    'bypass_state',
    'Always 1; the label names the current state of the bypass.',
    ['state'],
  );
  const pods = gauge('bypass_pods', 'Pods that request the bypass, by outcome.', ['outcome']);
  const connections = gauge('bypass_connections', 'Connections between sockets of this node.');
  const unread = gauge(
    'bypass_unread_max_bytes',
    'Most unread bytes of one connection between sockets of this node.',
  );
  const bytes = counter(
    'bypass_bytes_total',
    'Bytes sent between sockets of this node, by hop and path.',
    ['hop', 'path'],
  );
  const events = counter(
    'bypass_events_total',
    'Sockets accepted or rejected, and changes of path, by reason.',
    ['reason'],
  );
  const restarts = counter('bypass_loader_ends_total', 'Unexpected exits of the loader.');
  let last: Stats | undefined;

  return {
    restarts,
    setState(name: BypassState['name']) {
      for (const each of states) state.set({ state: each }, each === name ? 1 : 0);
    },
    setPods(served: number, refused: number) {
      pods.set({ outcome: 'served' }, served);
      pods.set({ outcome: 'refused' }, refused);
    },
    /** The counters of a loader grow; those of its successor start at zero. */
    setStats(stats: Stats) {
      connections.set(stats.connections);
      unread.set(stats.unreadMax);
      for (const [reason, value] of Object.entries(stats.counters))
        events.inc({ reason }, grown(value, last?.counters[reason]));
      for (const hop of ['other', 'outbound', 'inbound'] as const) {
        const [now, then] = [stats.hops[hop], last?.hops[hop]];
        bytes.inc({ hop, path: 'socket' }, grown(now.redirectedBytes, then?.redirectedBytes));
        bytes.inc({ hop, path: 'stack' }, grown(now.stackBytes, then?.stackBytes));
      }
      last = stats;
    },
    noLoader() {
      last = undefined;
      connections.set(0);
      unread.set(0);
    },
  };
}

function grown(now: number, before = 0): number {
  return now >= before ? now - before : now;
}
