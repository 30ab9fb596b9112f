import { createNamespacedTable } from '../../companion/controller/state/namespaced-table.ts';
import type { History } from '../../companion/core/history/history.ts';
import { scopeChanges } from '../../companion/core/history/scope-changes.ts';
import { counted } from '../../companion/core/mesh/counted.ts';
import { timeOf } from '../../companion/core/scope/condition.ts';
import { readWorkloadScope, type ScopeRecord } from '../../companion/core/scope/workload-scope.ts';
import { cast, eager, narrowing, type PlayedWorkload, passing, service } from './cast.ts';

/** Memory and clusters of a sidecar, as the real ones have them. */
export type Figures = { memoryBytes: number; clusters: number };

export type PlayOptions = {
  history: History;
  /** Milliseconds since the epoch. */
  beginsAt: number;
  /** A sidecar with full configuration. */
  full: Figures;
  /** A sidecar with a scope of `hosts`. */
  scoped: Figures & { hosts: number };
};

export type Play = {
  scopes: {
    values(): Iterable<ScopeRecord>;
    get(ns: string, name: string): ScopeRecord | undefined;
  };
  /** Plays everything between the last turn and `at`. */
  turn(at: number): void;
};

/** Calls are added in steps of this length, within a bin of the history. */
const stepMs = 5_000;

/** Writes what the cast does into the history, as reports of node companions would. */
export function startPlay({ history, beginsAt, full, scoped }: PlayOptions): Play {
  const scopes = createNamespacedTable<ScopeRecord>((before, after) => {
    for (const change of scopeChanges(before, after, lastAt)) history.changes.add(change);
  });
  let lastAt = beginsAt;
  /** Calls that are less than one are carried over to the next step. */
  const rests = new Map<string, number>();
  const perCluster = full.memoryBytes / Math.max(1, full.clusters);

  function called(workload: PlayedWorkload, host: string, calls: number, at: number): void {
    const { namespace, name } = workload;
    const key = `${namespace}/${name} ${host}`;
    const sum = (rests.get(key) ?? 0) + calls;
    rests.set(key, sum % 1);
    const edge = { namespace, workload: name, host };
    if (sum >= 1) history.edges.add(edge, at, Math.floor(sum));
  }

  function stepTo(at: number): void {
    const seconds = (at - lastAt) / 1_000;
    const wasPassing = passingAt(lastAt - beginsAt);
    lastAt = at;
    for (const workload of cast) {
      // An ebb and flow, so that two moments differ.
      const tide = 1 + 0.4 * Math.sin(at / 240_000 + workload.name.length);
      for (const { host, perSecond } of workload.calls)
        called(workload, host, perSecond * tide * seconds, at);
      if (workload.name === passing.name && isCalled(at - beginsAt)) {
        if (!wasPassing)
          history.changes.add({
            ...{ at, kind: 'first-call', namespace: workload.namespace, workload: workload.name },
            ...{ host: passing.host, detail: 'gateway' },
          });
        called(workload, passing.host, passing.perSecond * seconds, at);
      }
      const isScoped = scopedAt(workload, at - beginsAt);
      const hosts = hostsAt(workload, at - beginsAt);
      const clusters = Math.max(1, scoped.clusters + hosts.length - scoped.hosts);
      const memoryBytes = scoped.memoryBytes + (hosts.length - scoped.hosts) * perCluster;
      const after = { memoryBytes, clusters };
      history.figures.set(`${workload.namespace}/${workload.name}`, at, isScoped ? after : full);
      scopes.set(recordOf(workload, { at, beginsAt, isScoped, hosts, full, after }));
    }
  }

  return {
    scopes,
    turn(at) {
      while (lastAt + stepMs <= at) stepTo(lastAt + stepMs);
    },
  };
}

function scopedAt({ scopedAfter }: PlayedWorkload, sinceMs: number): boolean {
  return scopedAfter !== 'never' && sinceMs >= scopedAfter * 1_000;
}

function secondOf(sinceMs: number): number {
  return (sinceMs / 1_000) % passing.roundSeconds;
}

function isCalled(sinceMs: number): boolean {
  const second = secondOf(sinceMs);
  return second >= passing.first && second < passing.last;
}

function passingAt(sinceMs: number): boolean {
  const second = secondOf(sinceMs);
  return second >= passing.first && second < passing.gone;
}

function hostsAt(workload: PlayedWorkload, sinceMs: number): string[] {
  const hosts = workload.calls.map(({ host }) => host);
  const more = workload.name === passing.name && passingAt(sinceMs) ? [passing.host] : [];
  return [...hosts, ...more];
}

/** Only the passing host is not called all the time. */
function lastCalled({ name }: PlayedWorkload, host: string, { at, beginsAt }: At): number {
  const isPassing = name === passing.name && host === passing.host;
  const silent = isPassing ? Math.max(0, secondOf(at - beginsAt) - passing.last) : 0;
  return at - silent * 1_000;
}

type At = {
  at: number;
  beginsAt: number;
  isScoped: boolean;
  hosts: string[];
  full: Figures;
  after: Figures;
};

function recordOf(workload: PlayedWorkload, told: At): ScopeRecord {
  const { namespace, name, mode, proxies, scopedAfter } = workload;
  const { at, beginsAt, isScoped, hosts, full, after } = told;
  const since = timeOf(beginsAt + (scopedAfter !== 'never' && isScoped ? scopedAfter * 1_000 : 0));
  const condition = isScoped
    ? ['Enforced', `Imports ${counted(hosts.length, 'host')}.`]
    : mode === 'observe'
      ? ['Observing', 'Mode observe: a scope would be possible.']
      : ['Learning', `The learning window ends in ${narrowing.afterSeconds} s.`];
  const [reason, message] = condition;
  const status = {
    ...{ mode, owners: [name], hostCount: hosts.length },
    lastSeen: timeOf(at),
    hosts: [
      { host: service(name, namespace), reason: 'served' },
      ...hosts.map((host) => ({
        ...{ host, reason: host === eager ? 'eager' : 'learned' },
        ...{ firstSeen: timeOf(beginsAt), lastSeen: timeOf(lastCalled(workload, host, told)) },
      })),
    ],
    // As long as the passing host stays unused before it leaves.
    expiry: { ttl: `${passing.gone - passing.last}s`, unused: 0, kept: 0 },
    proxies: { total: proxies, reporting: proxies, scoped: isScoped ? proxies : 0 },
    clusters: { before: full.clusters, ...(isScoped && { after: after.clusters }) },
    memory: {
      beforeBytes: full.memoryBytes,
      ...(isScoped && { afterBytes: Math.round(after.memoryBytes) }),
    },
    conditions: [
      {
        ...{ type: 'Scoped', status: isScoped ? 'True' : 'False', reason, message },
        lastTransitionTime: since,
      },
      {
        ...{ type: 'Ready', status: reason === 'Learning' ? 'False' : 'True' },
        ...(reason === 'Learning'
          ? { reason, message }
          : { reason: 'Ready', message: 'The workload can be narrowed.' }),
        lastTransitionTime: since,
      },
    ],
  };
  return readWorkloadScope({
    ...{ apiVersion: 'lazyscope.io/v1alpha1', kind: 'WorkloadScope' },
    metadata: { namespace, name, uid: `${namespace}/${name}` },
    spec: { selector: { matchLabels: { app: name } } },
    status,
  });
}
