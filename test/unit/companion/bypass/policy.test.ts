import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  excludedPorts,
  isNodeOptedIn,
  readCandidate,
  readPorts,
} from '../../../../companion/bypass/policy.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';

function pod(annotations: Record<string, string>, more: Partial<KubeObject> = {}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'n', uid: 'u', annotations },
    spec: { containers: [{ image: 'registry:5000/shop/web:1' }] },
    status: { phase: 'Running', qosClass: 'Burstable' },
    ...more,
  };
}

const asks = { 'lazyscope.io/bypass': 'enabled' };

test('only pods and nodes with the value enabled take part', () => {
  expect(readCandidate(pod({}))).toBeUndefined();
  expect(readCandidate(pod({ 'lazyscope.io/bypass': 'true' }))).toBeUndefined();
  expect(readCandidate(pod(asks))).toEqual({
    uid: 'u',
    namespace: 'n',
    name: 'p',
    qosClass: 'Burstable',
    ports: [],
  });
  const node = (labels: Record<string, string>): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'a', labels },
  });
  expect([isNodeOptedIn(node(asks)), isNodeOptedIn(node({}))]).toEqual([true, false]);
});

test('pods that would lose by the bypass are refused with the reason', () => {
  const image = (name: string) =>
    readCandidate(pod(asks, { spec: { containers: [{ image: 'a' }, { image: name }] } }))?.refused;
  expect(image('haproxy')).toContain('splice');
  expect(image('registry:5000/library/haproxy:2.9@sha256:00')).toContain('splice');
  expect(image('docker.io/traefik:v3')).toContain('splice');
  expect(image('example/haproxy-exporter:1')).toBeUndefined();
  const host = readCandidate(pod(asks, { spec: { hostNetwork: true } }));
  expect(host?.refused).toContain('host network');
  expect(readCandidate(pod(asks, { status: { phase: 'Failed' } }))?.refused).toContain('ended');
});

test('a pod with an annotation that is not a list of ports is refused', () => {
  const ports = (text: string) =>
    readCandidate(pod({ ...asks, 'lazyscope.io/bypass-exclude-ports': text }));
  expect(ports('3306, 5432,3306')).toMatchObject({ ports: [3306, 5432] });
  for (const text of ['0', '65536', 'a', '1,,2', '1;2', '-1'])
    expect(ports(text)?.refused).toContain('is not a list of ports');
});

test('every value that is read as a port is a valid port', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const ports = readPorts(text) ?? [];
      expect(ports.every((port) => Number.isInteger(port) && port > 0 && port < 65_536)).toBe(true);
    }),
  );
});

test('a port that one pod excludes is excluded for the node, up to the loader’s maximum', () => {
  const candidate = (ports: number[]) => ({
    uid: '',
    namespace: '',
    name: '',
    qosClass: '',
    ports,
  });
  expect(excludedPorts([5], [candidate([7, 5]), candidate([6])])).toEqual([5, 6, 7]);
  const many = Array.from({ length: 257 }, (_, i) => i + 1);
  expect(excludedPorts([], [candidate(many)])).toBeUndefined();
});
