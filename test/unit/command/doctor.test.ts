import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Diagnosis } from '../../../command/doctor/check.ts';
import { CommandError } from '../../../command/frame/failure.ts';
import { KubeError, type KubeObject, type Resource } from '../../../companion/kube/object.ts';
import { istio, service } from '../companion/core/objects.ts';
import { commandLine, objectCluster } from './host.ts';
import { learned, scope } from './objects.ts';
import { shopObjects } from './shop.ts';

const istiod = (name = '', value = ''): KubeObject => ({
  ...{ apiVersion: 'apps/v1', kind: 'Deployment' },
  metadata: { namespace: 'istio-system', name: 'istiod', labels: { app: 'istiod' } },
  spec: {
    template: { spec: { containers: [{ name: 'discovery', env: name ? [{ name, value }] : [] }] } },
  },
});
const config = (mesh: string): KubeObject => ({
  ...{ apiVersion: 'v1', kind: 'ConfigMap' },
  metadata: { name: 'istio', namespace: 'istio-system' },
  data: { mesh },
});
const system: KubeObject = {
  ...{ apiVersion: 'v1', kind: 'Namespace' },
  metadata: { name: 'lazyscope-system', labels: { mesh: 'in' } },
};
const healthy = [...shopObjects(), system, istiod(), config('accessLogFile: /dev/stdout')];
const selectors = (value: string) =>
  config(`discoverySelectors: [{matchLabels: {mesh: ${value}}}]`);
const range = (address: string) =>
  istio('ServiceEntry', 'shop/range', {
    hosts: ['range.example'],
    addresses: [address],
    ports: [{ number: 80, name: 'tcp', protocol: 'TCP' }],
    resolution: 'NONE',
  });
const pinned = (pin: string) => scope('shop/cart', { spec: { pins: [pin] } });
const many = (count: number) =>
  scope('shop/cart', { hosts: Array.from({ length: count }, (_, i) => learned(`shop/h-${i}`)) });
const eager = (count: number) =>
  scope('shop/cart', {
    hosts: Array.from({ length: 20 }, (_, i) => ({
      host: `shop/h-${i}.example`,
      reason: i < count ? 'eager' : 'learned',
    })),
  });
const withCondition = (status: string) => {
  const object = scope('shop/cart');
  object.status.conditions.push({
    type: 'WithdrawalPending',
    status,
    reason: 'Deaf',
    message: 'x',
  });
  return object;
};
const since = (learningSince: string) => {
  const object = scope('shop/cart');
  return { ...object, status: { ...object.status, learningSince } };
};

/** Each check with the object that makes its condition true, and with the nearest that does not. */
const table: [string, KubeObject, KubeObject][] = [
  [
    'istiod-lazy-evaluation',
    istiod('ENABLE_LAZY_SIDECAR_EVALUATION', 'false'),
    istiod('ENABLE_LAZY_SIDECAR_EVALUATION', 'true'),
  ],
  [
    'istiod-scope-concurrency',
    istiod('PILOT_CONVERT_SIDECAR_SCOPE_CONCURRENCY', '4'),
    istiod('PILOT_CONVERT_SIDECAR_SCOPE_CONCURRENCY', '1'),
  ],
  [
    'istiod-cache',
    istiod('PILOT_ENABLE_CDS_CACHE', 'false'),
    istiod('PILOT_ENABLE_CDS_CACHE', 'true'),
  ],
  ['istiod-delta', istiod('ISTIO_DELTA_XDS', 'false'), istiod('ISTIO_DELTA_XDS', 'true')],
  [
    'istiod-analysis',
    istiod('PILOT_ENABLE_ANALYSIS', 'true'),
    istiod('PILOT_ENABLE_ANALYSIS', 'false'),
  ],
  [
    'istiod-removed-setting',
    istiod('PILOT_PARTIAL_FULL_PUSHES', 'true'),
    istiod('PILOT_PUSH_THROTTLE', '50'),
  ],
  ['system-hidden', selectors('out'), selectors('in')],
  [
    'dynamic-dns',
    config('outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}'),
    config('outboundTrafficPolicy: {mode: ALLOW_ANY}'),
  ],
  ['catch-all-range', range('0.0.0.0/0'), range('10.0.0.0/8')],
  [
    'pin-of-nothing',
    pinned('shop/crat.shop.svc.cluster.local'),
    pinned('shop/cart.shop.svc.cluster.local'),
  ],
  ['wildcard-pin', pinned('shop/*'), pinned('shop/cart.shop.svc.cluster.local')],
  ['many-destinations', many(1_601), many(1_600)],
  [
    'not-narrowed',
    scope('shop/cart', { mode: 'enforce', scoped: 'ForeignSidecar', ready: 'ForeignSidecar' }),
    scope('shop/cart', { mode: 'enforce', scoped: 'Learning', ready: 'Learning' }),
  ],
  ['withdrawal-pending', withCondition('True'), withCondition('False')],
  ['observed-long', since('2026-11-21T11:00:00Z'), since('2026-11-22T12:00:00Z')],
  ['mostly-eager', eager(11), eager(10)],
];

/** An object of the same kind and name takes the place of the healthy one. */
async function doctor(object: KubeObject | undefined, options = '') {
  const others = healthy.filter(
    ({ kind, metadata }) =>
      !object || kind !== object.kind || metadata.name !== object.metadata.name,
  );
  const cluster = objectCluster(object ? [...others, object] : others);
  const { code, out, err } = await commandLine(`doctor -o json ${options}`.trim(), cluster);
  return { code, err, findings: (JSON.parse(out) as { findings: Diagnosis[] }).findings };
}

test('no check cries on a healthy mesh', async () => {
  expect(await doctor(undefined)).toEqual({ code: 0, err: '', findings: [] });
});

test.each(table)(
  '%s cries where its condition holds, and is silent beside it',
  async (id, there, not) => {
    const { findings } = await doctor(there);
    const found = findings.find((each) => each.id === id);
    expect(found).toMatchObject({
      subject: expect.stringContaining(there.metadata.name),
      sentence: expect.stringMatching(/\S/),
      remedy: expect.stringMatching(/\S/),
    });
    expect((await doctor(not)).findings.map((each) => each.id)).not.toContain(id);
  },
);

test('every check is in the table above, and has a page of its severity', async () => {
  const { out } = await commandLine('doctor --list -o json', objectCluster([]));
  const listed = JSON.parse(out) as { id: string; severity: string; title: string; page: string }[];
  expect(listed.map(({ id }) => id).sort()).toEqual(table.map(([id]) => id).sort());
  const root = join(import.meta.dirname, '../../..');
  for (const { id, severity, page } of listed)
    expect(readFileSync(join(root, page), 'utf8')).toContain(`\`${id}\`, ${severity}\n`);
  expect(readdirSync(join(root, 'docs/checks')).length).toBe(listed.length);
});

test('a finding as bad as asked for ends with the code of a finding', async () => {
  const [, warning] = table[0] ?? [];
  expect((await doctor(warning)).code).toBe(0);
  expect((await doctor(warning, '--fail-on warning')).code).toBe(79);
  expect((await doctor(withCondition('True'))).code).toBe(79);
});

test('only the checks that are asked for run', async () => {
  const both = [withCondition('True'), istiod('ISTIO_DELTA_XDS', 'false')];
  const cluster = objectCluster([...healthy.filter(({ kind }) => kind !== 'Deployment'), ...both]);
  const { out } = await commandLine('doctor --only istiod-delta', cluster);
  expect(out).toContain('istiod-delta: ISTIO_DELTA_XDS is false');
  expect(out).toMatch(/\n1 check, 1 finding\.\n$/);
  const { code, err } = await commandLine('doctor --only nothing', cluster);
  expect([code, err]).toEqual([64, expect.stringContaining('nothing: no such check')]);
});

test('a mesh without the kinds of Lazyscope and of the Gateway API is examined, too', async () => {
  const foreign = objectCluster([
    service('shop/cart', { ip: '10.96.0.2' }),
    istiod('ISTIO_DELTA_XDS', 'false'),
  ]);
  const missing = Object.assign(new CommandError('no such kind', 'install it'), {
    cause: new KubeError(404, 'no such kind'),
  });
  const cluster = {
    ...foreign,
    list: (resource: Resource) =>
      /lazyscope|gateway/.test(resource.group) ? Promise.reject(missing) : foreign.list(resource),
  };
  const { out } = await commandLine('doctor', cluster);
  expect(out).toContain('WARNING  Deployment istio-system/istiod istiod-delta');
  const lacking = { ...foreign, list: () => Promise.reject(missing) };
  expect(await commandLine('doctor', lacking)).toMatchObject({
    code: 1,
    err: expect.stringContaining('no such kind'),
  });
});
