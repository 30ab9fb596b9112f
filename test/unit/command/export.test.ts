import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { exportOf } from '../../../command/core/export.ts';
import { readWorkloadScope } from '../../../companion/core/scope/workload-scope.ts';
import { istio, pod } from '../companion/core/objects.ts';
import { commandLine, objectCluster } from './host.ts';
import { learned, narrowed, scope } from './objects.ts';

const cart = 'shop/cart.shop.svc.cluster.local';
const web = narrowed('shop/web', [
  { host: 'lazyscope-system/http-ports.lazyscope.internal', reason: 'sentinel' },
  learned(cart),
  { host: 'shop/db.example.com', reason: 'eager', message: 'port 5432 is not HTTP' },
]);
const byDefault = istio('Sidecar', 'istio-system/default', {
  outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' },
  egress: [{ hosts: ['*/*'] }],
});
const webPod = pod('shop/web-1', { labels: { app: 'web' } });
const cluster = objectCluster([web, byDefault, webPod], { namespace: 'shop' });

test('a scope becomes a plain Sidecar with a reason behind each host', async () => {
  const { code, out } = await commandLine('export web', cluster);
  expect(code).toBe(0);
  expect(out).toBe(
    `# Workload shop/web: 2 hosts, learned since 2026-11-19T08:00:00Z.
# Unlike a scope of Lazyscope, this Sidecar does not grow: a call to a host that is not listed
# goes where outboundTrafficPolicy sends unknown calls.
# It replaces the default Sidecar istio-system/default and repeats what that one sets.

apiVersion: networking.istio.io/v1
kind: Sidecar
metadata:
  name: web
  namespace: shop
spec:
  workloadSelector:
    labels:
      app: web
  egress:
    - hosts:
        - shop/cart.shop.svc.cluster.local # learned since 2026-11-20
        - "shop/db.example.com" # eager: port 5432 is not HTTP
  outboundTrafficPolicy:
    mode: REGISTRY_ONLY
`.replaceAll('"', ''),
  );
});

test('a default of another revision is not repeated', async () => {
  const other = {
    ...byDefault,
    metadata: { ...byDefault.metadata, labels: { 'istio.io/rev': 'x' } },
  };
  const { out } = await commandLine(
    'export',
    objectCluster([web, other, webPod], { namespace: 'shop' }),
  );
  expect(out).not.toContain('outboundTrafficPolicy:\n');
});

test('the times of use do not change the export', () => {
  const later = narrowed('shop/web', [learned(cart, { lastSeen: '2026-11-28T11:00:00Z' })]);
  const before = narrowed('shop/web', [learned(cart)]);
  const yamlOf = (object: typeof web) =>
    exportOf({
      scope: readWorkloadScope(object),
      sidecars: [],
      revisions: ['default'],
      rootNamespace: 'istio-system',
    })?.yaml;
  expect(yamlOf(later)).toBe(yamlOf(before));
});

test('a workload without hosts is left out, and named', async () => {
  const empty = objectCluster([scope('shop/new')], { namespace: 'shop' });
  const { code, out, err } = await commandLine('export', empty);
  expect([code, out, err]).toEqual([0, '', 'shop/new: left out, nothing was learned yet\n']);
});

test('the difference to the cluster is shown, and ends with the code of a finding', async () => {
  const own = istio('Sidecar', 'shop/web', {
    workloadSelector: { labels: { app: 'web' } },
    egress: [{ hosts: [cart, 'shop/old.example.com'] }],
  });
  const { code, out } = await commandLine(
    'export --diff',
    objectCluster([web, own], { namespace: 'shop' }),
  );
  expect(code).toBe(79);
  expect(out).toBe(`--- Sidecar shop/web
+++ export of shop/web
- shop/old.example.com
+ shop/db.example.com
`);
});

test('an export that is in the cluster has no difference', async () => {
  const { out } = await commandLine('export', cluster);
  const [applied] = parseAllDocuments(out).map((document) => document.toJS());
  const { code, out: diff } = await commandLine(
    'export --diff',
    objectCluster([web, byDefault, applied], { namespace: 'shop' }),
  );
  expect([code, diff]).toEqual([0, '']);
});

test('with any reasons an export is YAML with exactly the hosts of the scope', () => {
  const host = fc
    .record({
      name: fc.stringMatching(/^[a-z]([a-z0-9-]{0,8}[a-z0-9])?$/),
      message: fc.string({ unit: 'binary' }),
      reason: fc.constantFrom('learned', 'eager', 'pinned'),
    })
    .map(({ name, ...more }) => ({ host: `shop/${name}.example.com`, ...more }));
  fc.assert(
    fc.property(fc.uniqueArray(host, { minLength: 1, selector: (each) => each.host }), (hosts) => {
      const yaml = exportOf({
        scope: readWorkloadScope(scope('shop/web', { hosts })),
        sidecars: [],
        revisions: ['default'],
        rootNamespace: 'istio-system',
      })?.yaml;
      const [document, ...more] = parseAllDocuments(yaml ?? '');
      expect(more).toEqual([]);
      expect(document?.errors).toEqual([]);
      expect(document?.toJS().spec.egress).toEqual([{ hosts: hosts.map((each) => each.host) }]);
    }),
  );
});
