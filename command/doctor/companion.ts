import { counted } from '../../companion/core/mesh/counted.ts';
import { timeIn } from '../../companion/core/scope/condition.ts';
import { someOf } from '../core/finding.ts';
import type { Check, Examined } from './check.ts';
import { unavailableIn } from './istiod-state.ts';

/** Whether the parts of Lazyscope run where they are needed. */

const nodeLabel = 'lazyscope-node';

const missing: Check = {
  ...{ id: 'companion-missing', severity: 'critical' },
  title: 'a node has sidecars of enabled namespaces, and no running node companion',
  find({ mesh: { state, config }, of }) {
    const running = new Set(
      of('Pod')
        .filter(
          ({ metadata, status }) =>
            metadata.namespace === config.namespace &&
            metadata.labels?.['app.kubernetes.io/name'] === nodeLabel &&
            status?.phase === 'Running',
        )
        .map(({ spec }) => spec?.nodeName),
    );
    const waiting = new Map<string, number>();
    for (const [name, { mode }] of state.namespaces)
      if (mode === 'observe' || mode === 'enforce')
        for (const pod of state.catalog.podsIn(name))
          if (pod.hasSidecar && pod.running && pod.node && !running.has(pod.node))
            waiting.set(pod.node, (waiting.get(pod.node) ?? 0) + 1);
    return [...waiting].map(([node, count]) => ({
      subject: `Node ${node}`,
      sentence: `${counted(count, 'proxy')} of enabled namespaces, and no running pod of DaemonSet ${config.namespace}/${nodeLabel}: their calls are not learned`,
      remedy: `kubectl describe daemonset -n ${config.namespace} ${nodeLabel}; a taint of the node needs a toleration`,
    }));
  },
};

function unavailable(id: string, name: string, severity: Check['severity'], what: string): Check {
  return {
    ...{ id, severity, title: what },
    find: ({ of, mesh: { config } }: Examined) =>
      of('Deployment').flatMap(({ metadata, status }) => {
        const sentence = unavailableIn(status);
        if (metadata.namespace !== config.namespace || metadata.name !== name || !sentence)
          return [];
        return {
          subject: `Deployment ${config.namespace}/${name}`,
          sentence,
          remedy: `kubectl describe deployment -n ${config.namespace} ${name}`,
        };
      }),
  };
}

const noLeader: Check = {
  ...{ id: 'no-leader', severity: 'critical' },
  title: 'no controller leads, so no scope changes',
  find: ({ of, now, mesh: { config } }) =>
    of('Lease').flatMap(({ metadata: { namespace, name }, spec }) => {
      if (namespace !== config.namespace || name !== 'lazyscope-controller') return [];
      const renewed = timeIn(spec?.renewTime);
      const late = renewed === undefined ? 0 : now - renewed - config.leaseSeconds * 1_000;
      // A clock that is a minute off is more likely than a lost leader.
      if (spec?.holderIdentity && late < 60_000) return [];
      const since = spec?.renewTime ?? 'its start';
      return {
        subject: `Lease ${namespace}/${name}`,
        sentence: `no controller has renewed it since ${since}: scopes neither grow nor shrink`,
        remedy: `kubectl get pods -n ${namespace} -l app.kubernetes.io/name=lazyscope-controller`,
      };
    }),
};

type Policy = { podSelector?: object; policyTypes?: string[]; egress?: unknown[] };

const egressDenied: Check = {
  ...{ id: 'egress-denied', severity: 'warning' },
  title: 'a NetworkPolicy lets no pod of an enabled namespace reach the companions',
  find({ of, mesh: { state } }) {
    const byNamespace = new Map<string, { name: string; spec: Policy }[]>();
    for (const { metadata, spec } of of('NetworkPolicy')) {
      if (!(spec as Policy).policyTypes?.includes('Egress')) continue;
      const known = byNamespace.get(metadata.namespace ?? '') ?? [];
      byNamespace.set(metadata.namespace ?? '', [...known, { name: metadata.name, spec }]);
    }
    return [...byNamespace].flatMap(([namespace, policies]) => {
      const mode = state.namespaces.get(namespace)?.mode;
      const isOfAll = ({ spec }: { spec: Policy }) =>
        Object.keys(spec.podSelector ?? {}).length === 0;
      const all = policies.find(isOfAll);
      // Any rule may be the one that lets them through; without one nothing does.
      const isClosed = policies.every(({ spec }) => (spec.egress ?? []).length === 0);
      if ((mode !== 'observe' && mode !== 'enforce') || !all || !isClosed) return [];
      return {
        subject: `NetworkPolicy ${namespace}/${all.name}`,
        sentence: `it denies all egress, and ${someOf(policies.map(({ name }) => name))} allows none: proxies reach neither their node companion (9470) nor the controller (9473)`,
        remedy: `add an egress rule to namespaceSelector {kubernetes.io/metadata.name: lazyscope-system}, ports 9470 and 9473`,
      };
    });
  },
};

export const companionChecks: readonly Check[] = [
  missing,
  unavailable(
    'controller-unavailable',
    'lazyscope-controller',
    'critical',
    'the controller of Lazyscope is not available',
  ),
  unavailable(
    'gateway-unavailable',
    'lazyscope-egress',
    'warning',
    'the lazy egress gateway is not available',
  ),
  ...[noLeader, egressDenied],
];
