import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createControllerMetrics } from '../../../../companion/controller/metrics.ts';
import { createKubeSink } from '../../../../companion/controller/reconcile/kube-sink.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { createFakeKube } from './fake-kube.ts';

const sidecar: KubeObject = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'Sidecar',
  metadata: { name: 'lazyscope-web', namespace: 'shop', uid: 'u' },
};
const resource = { group: 'networking.istio.io', version: 'v1', plural: 'sidecars' };
const ref = { namespace: 'shop', name: 'lazyscope-web', uid: 'u' };

function writer(leaseMs: () => number) {
  const kube = createFakeKube();
  const metrics = createControllerMetrics(new Registry());
  const log = pino({ level: 'silent' });
  return { kube, sink: createKubeSink({ kube, log, metrics, leaseMs, now: () => 0 }) };
}

test('nothing is written once the lease is gone, not even the rest of an evaluation', async () => {
  let left = 5_000;
  const { kube, sink } = writer(() => left);
  await sink.apply(sidecar);
  left = 0;
  await expect(sink.apply(sidecar)).rejects.toThrow(/no longer leads/);
  await expect(sink.apply(sidecar, 'status')).rejects.toThrow(/no longer leads/);
  await expect(sink.delete(resource, ref)).rejects.toThrow(/no longer leads/);
  await sink.tell(sidecar, { reason: 'Off', message: 'off' });
  expect(kube.writes).toEqual(['apply Sidecar shop/lazyscope-web']);
});

test('every write has the remaining time of the lease as its timeout', async () => {
  const { kube, sink } = writer(() => 1_234);
  const times: unknown[] = [];
  kube.apply = async (object, { timeoutMs }) => {
    times.push(timeoutMs);
    return object;
  };
  kube.create = async (object, options) => {
    times.push(options?.timeoutMs);
    return object;
  };
  kube.delete = async (_resource, _name, _namespace, options) => {
    times.push(options?.timeoutMs);
  };
  await sink.apply(sidecar);
  await sink.delete(resource, ref);
  await sink.tell(sidecar, { reason: 'Off', message: 'off' });
  expect(times).toEqual([1_234, 1_234, 1_234]);
});
