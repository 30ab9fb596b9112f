import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import { readPod } from '../../../../companion/core/mesh/pod-record.ts';
import { createEdgeStore, type HostRef } from '../../../../companion/core/scope/edges.ts';
import { entryOf, scopeOf } from '../../../../companion/core/scope/hosts.ts';
import { planScope } from '../../../../companion/core/scope/plan.ts';
import { sentinelHost } from '../../../../companion/core/scope/sentinel.ts';
import {
  admits,
  egressProxyOf,
  readSidecar,
  shadowedSidecar,
  sidecarOf,
} from '../../../../companion/core/scope/sidecar.ts';
import { groupWorkloads } from '../../../../companion/core/scope/workload.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';

/**
 * The `description` of each file in scope/ says what the file shows. The file has the calls of a
 * workload in namespace `shop`, the objects of the mesh, and the resulting Sidecar.
 */
type Golden = {
  description: string;
  input: {
    labels: Record<string, string>;
    learned: string[];
    pins?: string[];
    excludes?: string[];
    objects?: KubeObject[];
    defaults?: KubeObject[];
    dnsProxy?: boolean;
    /** Addresses of the pods of the workload. */
    ips?: string[];
  };
  reasons: Record<string, string>;
  sidecar: KubeObject;
};

const sentinel: HostRef = { namespace: 'lazyscope-system', host: sentinelHost };
const gateway: HostRef = {
  namespace: 'lazyscope-system',
  host: 'lazyscope-egress.lazyscope-system.svc.cluster.local',
};
const ours = new Set([entryOf(sentinel), entryOf(gateway)]);
const source = { namespace: 'shop', owner: 'web' };
const folder = new URL('./scope/', import.meta.url);

function build({ input }: Golden, learned = input.learned) {
  const catalog = createCatalog({ clusterDomain: 'cluster.local' });
  for (const object of input.objects ?? []) catalog.upsert(object);
  const edges = createEdgeStore();
  for (const entry of learned) {
    const [namespace = '', host = ''] = entry.split('/');
    edges.see(source, { namespace, host }, 1_000);
  }
  const [workload] = groupWorkloads([
    readPod({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: 'web-1',
        namespace: 'shop',
        labels: { ...input.labels, 'security.istio.io/tlsMode': 'istio' },
        ownerReferences: [
          { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'web', uid: 'x', controller: true },
        ],
      },
    }),
  ]);
  if (!workload) throw new Error('the pod makes no workload');
  const shadowed = shadowedSidecar(
    (input.defaults ?? []).map(readSidecar),
    workload,
    'istio-system',
  );
  const hosts = scopeOf(catalog, {
    namespace: 'shop',
    rootNamespace: 'istio-system',
    labels: [input.labels],
    ips: input.ips ?? [],
    edges: edges.edgesFrom(source),
    pins: input.pins ?? [],
    excludes: input.excludes ?? [],
    sentinel,
    gateway,
    dnsProxy: input.dnsProxy ?? false,
    egressProxy: egressProxyOf(shadowed),
  }).filter(({ entry }) => ours.has(entry) || admits(shadowed, entry, 'shop'));
  const sidecarInput = {
    workload,
    owner: { name: 'web', uid: 'uid-of-scope' },
    hosts: hosts.map(({ entry }) => entry),
    shadowed,
  };
  return { hosts, sidecarInput, sidecar: sidecarOf(sidecarInput) };
}

const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
const goldens = files.map((name) => {
  const golden = parse(readFileSync(new URL(name, folder), 'utf8')) as Golden;
  return [name, golden] as const;
});

describe.each(goldens)('%s', (_name, golden) => {
  test(golden.description.trim(), () => {
    const { hosts, sidecar } = build(golden);
    expect(sidecar).toEqual(golden.sidecar);
    const reasons = hosts.filter(({ entry }) => !ours.has(entry));
    expect(Object.fromEntries(reasons.map(({ entry, reason }) => [entry, reason]))).toEqual(
      golden.reasons,
    );
  });

  test('the order in which calls were seen does not change a byte', () => {
    const { learned } = golden.input;
    const orders = fc.shuffledSubarray(learned, { minLength: learned.length });
    const expected = JSON.stringify(build(golden).sidecar);
    fc.assert(
      fc.property(orders, (order) => {
        expect(JSON.stringify(build(golden, order).sidecar)).toBe(expected);
      }),
    );
  });

  test('a written scope leaves nothing to do', () => {
    const { sidecar, sidecarInput } = build(golden);
    const plan = planScope({
      ...sidecarInput,
      mode: 'enforce',
      // The API server may return the fields in another order.
      current: readSidecar({ ...sidecar, spec: reversed(sidecar.spec) }),
      foreign: undefined,
      isIstioTooOld: false,
      refusal: undefined,
      proxies: {
        ...{ total: 1, live: 1, silentMs: 0, judgedMs: 0, quorumMs: 0, isDeaf: false, lost: 0 },
        ...{ unmeasured: 0, measuringMs: 0 },
      },
      admitWithdrawal: () => true,
      silenceMs: 300_000,
      learningMs: 0,
    });
    expect(plan.change).toEqual({ verb: 'none' });
  });
});

function reversed(spec: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(spec).reverse());
}

test.each([
  ['a host on a port without a listener of its own', 'bank/ledger.bank', 80, true],
  ['a host that the listener of its port imports', 'shop/cart.shop', 8080, true],
  ['a host that the listener of its port leaves out', 'bank/ledger.bank', 8080, false],
])('a default admits %s as Istio does', (_what, entry, port, expected) => {
  const shadowed = readSidecar({
    apiVersion: 'networking.istio.io/v1',
    kind: 'Sidecar',
    metadata: { name: 'default', namespace: 'shop' },
    spec: { egress: [{ port: { number: 8080 }, hosts: ['./*'] }, { hosts: ['*/*'] }] },
  });
  expect(admits(shadowed, entry, 'shop', port)).toBe(expected);
});
