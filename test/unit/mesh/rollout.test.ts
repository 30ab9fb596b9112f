import { expect, test } from 'vitest';
import { unfinishedReasons } from '../../../box/rollout.ts';

const workload = (kind: string, status: Record<string, number | string>, replicas = 2) => ({
  kind,
  metadata: { name: 'web', generation: 3 },
  spec: { replicas },
  status: { observedGeneration: 3, ...status },
});
const whole = { replicas: 2, updatedReplicas: 2, readyReplicas: 2 };

test('a Deployment is rolled out when all pods are new and ready, and no old pod is left', () => {
  expect(unfinishedReasons(workload('Deployment', whole))).toEqual([]);
  expect(unfinishedReasons(workload('Deployment', { ...whole, replicas: 3 }))).toEqual([
    'Deployment web: 2 wanted, 2 updated, 2 ready, 3 in all',
  ]);
  expect(unfinishedReasons(workload('Deployment', { ...whole, readyReplicas: 1 }))).toHaveLength(1);
  expect(unfinishedReasons(workload('Deployment', { ...whole, updatedReplicas: 1 }))).toHaveLength(
    1,
  );
  expect(unfinishedReasons(workload('Deployment', {}, 0))).toEqual([]);
});

test('an object that its controller has not observed yet is not rolled out', () => {
  expect(unfinishedReasons(workload('Deployment', { ...whole, observedGeneration: 2 }))).toEqual([
    'Deployment web: 2 wanted, not observed yet',
  ]);
});

test('a DaemonSet counts nodes', () => {
  const status = { desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberReady: 2 };
  expect(unfinishedReasons(workload('DaemonSet', status))).toEqual([]);
  expect(unfinishedReasons(workload('DaemonSet', { ...status, numberReady: 1 }))).toHaveLength(1);
  expect(
    unfinishedReasons(workload('DaemonSet', { ...status, updatedNumberScheduled: 1 })),
  ).toHaveLength(1);
});

test('the revisions of a StatefulSet show that all pods are new', () => {
  const status = { replicas: 2, readyReplicas: 2, currentRevision: 'a', updateRevision: 'a' };
  expect(unfinishedReasons(workload('StatefulSet', status))).toEqual([]);
  const rolling = { ...status, updateRevision: 'b', updatedReplicas: 1 };
  expect(unfinishedReasons(workload('StatefulSet', rolling))).toHaveLength(1);
});
