import type { KubeObject } from '../../../companion/kube/object.ts';

/** WorkloadScopes as the controller records them. */

type Host = {
  host: string;
  reason: string;
  message?: string;
  firstSeen?: string;
  lastSeen?: string;
};

export type ScopeOptions = {
  mode?: string;
  /** Reasons of the conditions; `Enforced` and `Ready` are true. */
  scoped?: string;
  ready?: string;
  hosts?: Host[];
  proxies?: number;
  memory?: { beforeBytes?: number; afterBytes?: number };
  clusters?: { before?: number; after?: number };
  spec?: object;
};

const learnedAt = { firstSeen: '2026-11-20T08:30:00Z', lastSeen: '2026-11-28T10:00:00Z' };

export const learned = (host: string, more: Partial<Host> = {}): Host => ({
  host,
  reason: 'learned',
  ...learnedAt,
  ...more,
});

export function scope(path: string, options: ScopeOptions = {}): KubeObject {
  const [namespace = '', name = ''] = path.split('/');
  const { mode = 'observe', scoped = 'Observing', ready = 'Ready', hosts = [] } = options;
  const total = options.proxies ?? 1;
  const condition = (type: string, reason: string, isTrue: boolean) => ({
    ...{ type, reason, status: isTrue ? 'True' : 'False' },
    message: `${reason} in words.`,
    lastTransitionTime: '2026-11-20T08:00:00Z',
  });
  return {
    apiVersion: 'lazyscope.io/v1alpha1',
    kind: 'WorkloadScope',
    metadata: { namespace, name, uid: `scope-${path}`, resourceVersion: '7' },
    spec: { selector: { matchLabels: { app: name } }, ...options.spec },
    status: {
      mode,
      owners: [name],
      learningSince: '2026-11-19T08:00:00Z',
      hostCount: hosts.length,
      hosts,
      proxies: {
        ...{ total, reporting: total, summary: `${total}/${total}` },
        scoped: scoped === 'Enforced' ? total : 0,
      },
      ...(options.memory && { memory: options.memory }),
      ...(options.clusters && { clusters: options.clusters }),
      conditions: [
        condition('Scoped', scoped, scoped === 'Enforced'),
        condition('Ready', ready, ready === 'Ready'),
      ],
    },
  };
}

/** A workload whose scope is in force, with two proxies that saved 100 MB each. */
export const narrowed = (path: string, hosts: Host[] = []): KubeObject =>
  scope(path, {
    ...{ mode: 'enforce', scoped: 'Enforced', hosts, proxies: 2 },
    memory: { beforeBytes: 120e6, afterBytes: 20e6 },
    clusters: { before: 2062, after: 21 },
  });
