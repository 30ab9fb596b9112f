import type { History } from '../../companion/core/history/history.ts';
import { readWorkloadScope, type ScopeRecord } from '../../companion/core/scope/workload-scope.ts';

/** A mesh of any size for tests and benchmarks: every workload calls the same number of hosts. */
export type Size = { workloads: number; callsOfEach: number; namespaces: number };

/** Adds calls to the history in each of the moments, and returns the scopes. */
export function playAtScale(history: History, size: Size, moments: readonly number[]) {
  const scopes = new Map<string, ScopeRecord>();
  for (let n = 0; n < size.workloads; n++) {
    const namespace = `team-${n % size.namespaces}`;
    const name = `service-${n}`;
    const hosts = Array.from({ length: size.callsOfEach }, (_, k) => {
      const callee = (n * 7 + k * 13 + 1) % size.workloads;
      const of = `team-${callee % size.namespaces}`;
      return `${of}/service-${callee}.${of}.svc.cluster.local`;
    });
    for (const at of moments) {
      for (const [k, host] of hosts.entries())
        history.edges.add({ namespace, workload: name, host }, at, 10 + ((n + k) % 90));
    }
    scopes.set(`${namespace}/${name}`, scopeOf(namespace, name, hosts));
  }
  return {
    get: (namespace: string, name: string) => scopes.get(`${namespace}/${name}`),
    values: () => scopes.values(),
  };
}

function scopeOf(namespace: string, name: string, hosts: readonly string[]): ScopeRecord {
  const status = {
    ...{ mode: 'enforce', owners: [name], hostCount: hosts.length },
    hosts: [
      { host: `${namespace}/${name}.${namespace}.svc.cluster.local`, reason: 'served' },
      ...hosts.map((host) => ({ host, reason: 'learned' })),
    ],
    proxies: { total: 2, reporting: 2, scoped: 2 },
    clusters: { before: 4_000, after: hosts.length },
    memory: { beforeBytes: 300e6, afterBytes: 40e6 + hosts.length * 75e3 },
    conditions: [{ type: 'Scoped', status: 'True', reason: 'Enforced', message: '' }],
  };
  return readWorkloadScope({
    ...{ apiVersion: 'lazyscope.io/v1alpha1', kind: 'WorkloadScope' },
    metadata: { namespace, name, uid: `${namespace}/${name}` },
    spec: { selector: { matchLabels: { app: name } } },
    status,
  });
}
