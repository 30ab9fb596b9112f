import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Manifest, manifests, render, repository } from './render.ts';

const objects = render(join(manifests, 'base'));
const policies = objects.filter(({ kind }) => kind === 'NetworkPolicy');

type Labels = Record<string, string>;
type Peer = { namespace: Labels; pod: Labels; isLocal?: boolean };

const appOf = (name: string): Labels => ({ 'app.kubernetes.io/name': name });
const system = objects.find(({ kind }) => kind === 'Namespace')?.metadata.labels as Labels;
const part = (name: string): Peer => ({ namespace: system, pod: appOf(name), isLocal: true });

/** All possible clients. */
const sources: Record<string, Peer> = {
  node: part('lazyscope-node'),
  controller: part('lazyscope-controller'),
  gateway: part('lazyscope-egress'),
  'enabled pod': { namespace: { 'lazyscope.io/mode': 'enforce' }, pod: { app: 'web' } },
  'pod of a namespace on its way out': {
    namespace: { 'lazyscope.io/mode': 'off' },
    pod: { app: 'web' },
  },
  'pod that calls itself a node companion': { namespace: {}, pod: appOf('lazyscope-node') },
  prometheus: { namespace: {}, pod: appOf('prometheus') },
  stranger: { namespace: { 'istio-injection': 'enabled' }, pod: { app: 'web' } },
};
const destinations = ['node', 'controller', 'gateway'];
const podLabels: Record<string, Labels> = {
  node: appOf('lazyscope-node'),
  controller: appOf('lazyscope-controller'),
  gateway: appOf('lazyscope-egress'),
};
/** The product's ports, the ports of a sidecar or router, and some that nobody may use. */
const ports = [
  80, 443, 9470, 9471, 9472, 9473, 9474, 9475, 15000, 15008, 15020, 15021, 15090, 15443,
];

/** The permitted connections, as ARCHITECTURE.md lists them. All others are denied. */
const metrics = destinations.flatMap((part) =>
  [9472, 15020, 15090].map((port) => `prometheus -> ${part}:${port}`),
);
const enabled = ['enabled pod', 'pod of a namespace on its way out'];
const flows = [
  ...enabled.map((from) => `${from} -> node:9470`),
  ...enabled.map((from) => `${from} -> node:9475`),
  ...enabled.map((from) => `${from} -> controller:9473`),
  ...enabled.map((from) => `${from} -> gateway:15443`),
  'node -> controller:9471',
  'controller -> controller:9474',
  ...metrics,
];

function selects(selector: Manifest | undefined, labels: Labels): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector ?? {};
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator }: Manifest) => {
      if (operator !== 'Exists') throw new Error(`operator ${operator}: not known to this test`);
      return key in labels;
    })
  );
}

/**
 * The rules of NetworkPolicyPeer: without a namespace selector, pods of the policy's own namespace.
 */
function isFrom({ namespaceSelector, podSelector }: Manifest, peer: Peer): boolean {
  const inNamespace = namespaceSelector
    ? selects(namespaceSelector, peer.namespace)
    : peer.isLocal === true;
  return inNamespace && selects(podSelector, peer.pod);
}

function isAllowed(peer: Peer, to: Labels, port: number): boolean {
  const selecting = policies.filter(({ spec }) => selects(spec.podSelector, to));
  if (selecting.length === 0) return true;
  return selecting
    .flatMap(({ spec }) => spec.ingress ?? [])
    .some(
      ({ from, ports }: Manifest) =>
        from.some((each: Manifest) => isFrom(each, peer)) &&
        ports.some((each: Manifest) => each.port === port && each.protocol === 'TCP'),
    );
}

test('network policies admit every flow of the architecture, and no other', () => {
  const allowed = Object.entries(sources).flatMap(([from, peer]) =>
    destinations.flatMap((to) =>
      ports
        .filter((port) => isAllowed(peer, podLabels[to] ?? {}, port))
        .map((port) => `${from} -> ${to}:${port}`),
    ),
  );
  expect(allowed.sort()).toEqual(flows.sort());
});

test('every port of a container has a flow, and every port of a flow is in the architecture', () => {
  const flowing = new Set(flows.map((flow) => Number(flow.split(':')[1])));
  const containers = objects
    .filter(({ kind }) => kind === 'Deployment' || kind === 'DaemonSet')
    .flatMap(({ spec }) => spec.template.spec.containers);
  for (const { containerPort } of containers.flatMap((each: Manifest) => each.ports ?? []))
    expect(flowing).toContain(containerPort);
  const table =
    readFileSync(join(repository, 'ARCHITECTURE.md'), 'utf8').split('## Ports')[1] ?? '';
  for (const port of flowing) expect(table).toMatch(new RegExp(`^\\|.*\\b${port}\\b`, 'm'));
});
