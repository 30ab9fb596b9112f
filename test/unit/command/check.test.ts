import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Finding } from '../../../command/core/finding.ts';
import { CommandError } from '../../../command/frame/failure.ts';
import { KubeError, type KubeObject, type Resource } from '../../../companion/kube/object.ts';
import { istio, pod, service, slice } from '../companion/core/objects.ts';
import { commandLine, objectCluster } from './host.ts';
import { cartEntry, shopObjects } from './shop.ts';

const installed: KubeObject[] = [
  istio('EnvoyFilter', 'shop/lazyscope', {}),
  istio('WasmPlugin', 'shop/lazyscope', {}),
  istio('WasmPlugin', 'shop/lazyscope-tcp', {}),
];

/** The shop with the filter, and with nothing in it that behaves differently. */
const healthy = [
  ...shopObjects().filter(
    ({ kind, metadata }) =>
      kind !== 'VirtualService' && kind !== 'ServiceEntry' && metadata.name !== 'legacy',
  ),
  ...installed,
];

async function check(objects: readonly KubeObject[]) {
  const { code, out } = await commandLine('check shop -o json', objectCluster(objects));
  const { findings } = JSON.parse(out) as { findings: Finding[] };
  return { code, findings, ids: findings.map(({ id }) => id) };
}

test('a healthy namespace has nothing in the way, and hears what enabling costs and saves', async () => {
  expect(await check(healthy)).toMatchObject({ code: 0, ids: ['enabling', 'saving'] });
  const { out } = await commandLine('check shop', objectCluster(healthy));
  expect(out).toMatch(/\nNothing stands in the way of narrowing\.\n$/);
});

test('an Istio that has no TrafficExtensions is too old', async () => {
  const cluster = objectCluster(healthy);
  const absent = new KubeError(404, 'not found');
  const old = {
    ...cluster,
    list: async (resource: Resource) => {
      if (resource.plural !== 'trafficextensions') return cluster.list(resource);
      throw Object.assign(new CommandError('not found', 'none'), { cause: absent });
    },
  };
  const { code, out } = await commandLine('check shop', old);
  expect(code).toBe(79);
  expect(out).toMatch(/IstioTooOld: the API server has no definition of TrafficExtension/);
});

const config = (mesh: string): KubeObject => ({
  ...{ apiVersion: 'v1', kind: 'ConfigMap' },
  metadata: { name: 'istio', namespace: 'istio-system' },
  data: { mesh },
});
const entry = (resolution: string, protocol = 'HTTP') =>
  istio('ServiceEntry', 'shop/partner', {
    hosts: ['partner.example'],
    ports: [{ number: 80, name: 'http', protocol }],
    resolution,
  });
const registryOnly = config('outboundTrafficPolicy: {mode: REGISTRY_ONLY}');
const own = (kind: string, name: string, spec: object) => istio(kind, `shop/${name}`, spec);
const headless = [
  service('shop/peers', { ports: [{ name: 'http', port: 9000 }] }),
  pod('shop/peers-0', { ip: '10.244.0.8', labels: { app: 'peers' } }),
  slice('shop/peers', [{ ip: '10.244.0.8', pod: 'peers-0' }], [9000]),
];
const peers = (mode: string) =>
  own('PeerAuthentication', 'peers', {
    selector: { matchLabels: { app: 'peers' } },
    mtls: { mode },
  });
const contested = (name: string) => [
  service('shop/contested', { ip: '10.96.1.1', ports: [{ name: 'http', port: 7000 }] }),
  service('plain/other', { ip: '10.96.1.2', ports: [{ name, port: 7000 }] }),
];
const bare = (app: string) => [
  service('plain/bare', { ip: '10.96.1.3' }),
  pod('plain/bare', { ip: '10.244.1.3', tlsMode: app }),
  slice('plain/bare', [{ ip: '10.244.1.3', pod: 'bare' }]),
];
const holding = (strategy: string) => [...shopObjects(strategy).slice(0, 1), ...healthy.slice(1)];
const rule = (gateways: string[]) =>
  own('VirtualService', 'front', { hosts: ['payments'], gateways, http: [{}] });
const sidecar = (app: string) =>
  own('Sidecar', 'mine', { workloadSelector: { labels: { app } }, egress: [{ hosts: ['./*'] }] });

/** Each finding with objects that make it true, and with the nearest objects that do not. */
const table: [string, Finding['severity'], KubeObject[], KubeObject[]][] = [
  [
    'first-call-rules',
    'differs',
    [...healthy, rule(['mesh'])],
    [...healthy, rule(['shop/gateway'])],
  ],
  [
    'first-call-entry',
    'differs',
    [...healthy, registryOnly, entry('DNS')],
    [...healthy, entry('DNS')],
  ],
  [
    'first-call-entry',
    'differs',
    [...healthy, registryOnly, entry('DNS')],
    [...healthy, registryOnly, entry('NONE')],
  ],
  ['first-call-protocol', 'note', [...healthy, ...bare('')], [...healthy, ...bare('istio')]],
  [
    'headless-disable',
    'differs',
    [...healthy, ...headless, peers('DISABLE')],
    [...healthy, ...headless, peers('STRICT')],
  ],
  [
    'contested-port',
    'differs',
    [...healthy, ...contested('tcp')],
    [...healthy, ...contested('http')],
  ],
  ['held-rounds', 'note', holding('hold'), holding('gateway')],
  ['eager', 'note', [...healthy, entry('DNS', 'TLS')], [...healthy, entry('DNS')]],
  ['ForeignSidecar', 'blocks', [...healthy, sidecar('cart')], [...healthy, sidecar('nobody')]],
  ['FilterMissing', 'blocks', healthy.slice(0, -1), healthy],
  ['NoProxies', 'blocks', healthy.filter(({ kind }) => kind !== 'Pod'), healthy],
  [
    'NotDiscovered',
    'blocks',
    [...healthy, config('discoverySelectors: [{matchLabels: {a: b}}]')],
    [...healthy, config('discoverySelectors: []')],
  ],
];

test.each(table)(
  '%s (%s) is found where it holds, and not beside it',
  async (id, severity, there, not) => {
    const found = await check(there);
    expect(found.findings.find((each) => each.id === id)).toMatchObject({ severity });
    expect(found.code).toBe(found.findings.some((each) => each.severity === 'blocks') ? 79 : 0);
    expect((await check(not)).ids).not.toContain(id);
  },
);

test('a host that a scope has is in no finding: it has no first call', async () => {
  const onCart = own('VirtualService', 'cart', { hosts: ['cart'], http: [{}] });
  const front = [...healthy, onCart];
  expect((await check(front)).ids).not.toContain('first-call-rules');
  const pinned = front.map((object) =>
    object.kind === 'WorkloadScope'
      ? { ...object, spec: { ...object.spec, excludes: [cartEntry] } }
      : object,
  );
  expect((await check(pinned)).ids).toContain('first-call-rules');
});

test('before the namespace is enabled, a missing filter is a note', async () => {
  const [namespace, ...others] = healthy.slice(0, -1);
  const bareNamespace = { ...namespace, metadata: { name: 'shop' } } as KubeObject;
  const { code, findings } = await check([bareNamespace, ...others]);
  expect(code).toBe(0);
  expect(findings.find(({ id }) => id === 'FilterMissing')).toMatchObject({ severity: 'note' });
});

test('the saving is at most that before anything was learned, and about that afterwards', async () => {
  const saving = async (objects: KubeObject[]) =>
    (await check(objects)).findings.find(({ id }) => id === 'saving')?.sentence;
  const full = healthy.filter(({ kind }) => kind !== 'Sidecar');
  expect(await saving(full)).toMatch(/would save about .* by 1 narrowed workload of this mesh$/);
  const fresh = healthy.filter(({ kind }) => kind !== 'WorkloadScope');
  expect(await saving(fresh)).toMatch(/would save at most .* 72\.5 kB .* by the benchmark/);
});

test('a namespace that is not there is an error', async () => {
  const { code, err } = await commandLine('check nowhere', objectCluster(healthy));
  expect([code, err]).toEqual([1, expect.stringContaining('namespace nowhere: there is none')]);
});

test('each page that a finding names is there, with its heading', async () => {
  const findings = (await Promise.all(table.map(([, , there]) => check(there)))).flatMap(
    (each) => each.findings,
  );
  for (const { page } of findings) {
    const [file = '', anchor = ''] = page.split('#');
    const text = readFileSync(join(import.meta.dirname, '../../..', file), 'utf8');
    const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^a-z0-9 -]/g, '')
        .replaceAll(' ', '-'),
    );
    expect(headings).toContain(anchor);
  }
});
