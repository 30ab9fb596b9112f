import { Registry } from 'prom-client';
import type { Answer } from '../../companion/contract/rpc.ts';
import type { UnknownCall } from '../../companion/core/first-call/resolve.ts';
import { createLog } from '../../companion/frame/log.ts';
import type { KubeObject } from '../../companion/kube/object.ts';
import { createNodeMetrics } from '../../companion/node/metrics.ts';
import type { Pod } from '../../companion/node/pods.ts';

export const log = createLog('test', 'silent');

export function testMetrics() {
  const registry = new Registry();
  const metrics = createNodeMetrics(registry);
  /** The value of one sample; 0 if it was never set. */
  async function value(name: string, labels: Record<string, string> = {}): Promise<number> {
    const metric = await registry.getSingleMetric(`lazyscope_${name}`)?.get();
    const sample = metric?.values.find((candidate) =>
      Object.entries(labels).every(([key, expected]) => candidate.labels[key] === expected),
    );
    return sample?.value ?? 0;
  }
  return { metrics, value };
}

/** A clock in milliseconds that only the test moves. */
export function testClock() {
  let at = 1_000_000;
  return {
    now: () => at,
    pass(ms: number) {
      at += ms;
    },
  };
}

export function podOf(name: string, extra: Partial<Pod> = {}): Pod {
  return {
    uid: `uid-${name}`,
    namespace: 'shop',
    name,
    addresses: ['10.1.0.5'],
    callerKey: `owner-of-${name}`,
    hasProxy: true,
    ...extra,
  };
}

export function podObject(
  name: string,
  address: string,
  extra: Partial<KubeObject> = {},
): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'shop', uid: `uid-${name}` },
    spec: { containers: [{ name: 'app' }, { name: 'istio-proxy' }] },
    status: { phase: 'Running', podIP: address, podIPs: [{ ip: address }] },
    ...extra,
  };
}

export function namespaceObject(name: string, mode: string): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: { 'lazyscope.io/mode': mode } },
  };
}

export const httpCall: UnknownCall = {
  tcp: false,
  authority: 'reviews:9080',
  destination: '10.96.0.7:9080',
};

export function answerOf(extra: Partial<Answer> = {}): Answer {
  return {
    id: 1,
    strategy: 'gateway',
    otherwise: '',
    sni: 'outbound_.9080_._.reviews.shop.svc.cluster.local',
    identities: ['spiffe://cluster.local/ns/shop/sa/reviews'],
    ttlSeconds: 30,
    millisecondsSinceScopeWritten: 0,
    reason: 'test',
    ...extra,
  };
}
