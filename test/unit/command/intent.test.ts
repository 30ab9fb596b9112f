import fc from 'fast-check';
import { expect, test } from 'vitest';
import { entryOfText, listChange } from '../../../command/core/intent.ts';
import { readWorkloadScope } from '../../../companion/core/scope/workload-scope.ts';
import type { KubeObject } from '../../../companion/kube/object.ts';
import { commandLine, objectCluster } from './host.ts';
import { learned, narrowed, scope } from './objects.ts';

const cart = 'shop/cart.shop.svc.cluster.local';
const shop: KubeObject = {
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: 'shop', labels: { 'lazyscope.io/mode': 'observe' } },
};
const clusterOf = (...objects: KubeObject[]) =>
  objectCluster([shop, ...objects], { namespace: 'shop' });

test('enforcing a namespace lists the narrowed and the waiting workloads, and sets the label', async () => {
  const cluster = clusterOf(
    scope('shop/cart', { hosts: [learned(cart)] }),
    scope('shop/web', { ready: 'Learning' }),
    scope('shop/own', { spec: { mode: 'off' } }),
  );
  const { code, out } = await commandLine('mode enforce', cluster);
  expect(code).toBe(0);
  expect(out).toBe(`namespace shop: mode observe -> enforce
  cart is narrowed at once, to 1 host.
  web is not narrowed yet: Learning in words.
  These keep a mode of their own: own (off).
done
`);
  expect(cluster.patches).toEqual([
    {
      path: 'namespaces /shop',
      body: { metadata: { labels: { 'lazyscope.io/mode': 'enforce' } } },
      dryRun: false,
    },
  ]);
});

test('a dry run prints the same, and the API server changes nothing', async () => {
  const cluster = clusterOf(narrowed('shop/web'));
  const { out } = await commandLine('mode off --dry-run', cluster);
  expect(out).toBe(`namespace shop: mode observe -> off
  web gets full configuration back: 2 proxies grow, 200.0MB in all.
dry run: nothing was changed
`);
  expect(cluster.patches.map(({ dryRun }) => dryRun)).toEqual([true]);
});

test('the mode of a workload is written into its scope, guarded by the version that was read', async () => {
  const cluster = clusterOf(scope('shop/cart', { spec: { mode: 'off' } }));
  await commandLine('mode inherit cart', cluster);
  expect(cluster.patches).toEqual([
    {
      path: 'workloadscopes shop/cart',
      body: { metadata: { resourceVersion: '7' }, spec: { mode: null } },
      dryRun: false,
    },
  ]);
});

test.each([
  ['mode observe', 'It has this mode already.'],
  ['mode inherit cart', 'It has this mode already.'],
  [`pin cart ${cart}`, 'All of them are there already.'],
  [`exclude cart ${cart} --remove`, 'None of them is there.'],
])('%s writes nothing if there is nothing to do', async (line, text) => {
  const cluster = clusterOf(scope('shop/cart', { spec: { pins: [cart] } }));
  const { code, out } = await commandLine(line, cluster);
  expect([code, out]).toEqual([0, expect.stringContaining(text)]);
  expect(out).toMatch(/unchanged\n$/);
  expect(cluster.patches).toEqual([]);
});

test.each([
  ['mode inherit', 64, 'a namespace inherits no mode'],
  ['mode enforce nobody', 1, 'workload shop/nobody: it has no WorkloadScope'],
  ['mode enforce -A', 64, 'this verb changes one namespace only'],
  ['mode enforce -n nowhere', 1, 'namespace nowhere: there is none'],
  ['mode on', 64, 'Allowed choices are observe, enforce, off, inherit'],
  ['pin cart cart', 64, 'cart: the namespace is missing'],
])('%s is refused with code %i', async (line, expected, text) => {
  const cluster = clusterOf(scope('shop/cart'));
  const { code, err } = await commandLine(line, cluster);
  expect([code, err]).toEqual([expected, expect.stringContaining(text)]);
  expect(err).toMatch(/remedy:|Allowed choices/);
  expect(cluster.patches).toEqual([]);
});

test('a pin prints its effect on each host', async () => {
  const cluster = clusterOf(scope('shop/cart', { spec: { excludes: [cart] } }));
  const { out } = await commandLine(`pin cart cart.shop.svc.cluster.local billing/*`, cluster);
  expect(out).toContain(`+ ${cart}: always in the scope; a pin wins over the exclude`);
  expect(out).toContain('+ billing/*: always in the scope; a wildcard imports all that it matches');
  expect(cluster.patches[0]?.body).toMatchObject({ spec: { pins: [cart, 'billing/*'] } });
});

test('the exclusion of a host in use prints the last use', async () => {
  const cluster = clusterOf(scope('shop/web', { hosts: [learned(cart)] }));
  const { out } = await commandLine(`exclude web ${cart}`, cluster);
  expect(out).toContain(
    `+ ${cart}: leaves the scope, and is not learned (now: learned; it was last used at 2026-11-28T10:00:00Z); every call to it is a first call from then on`,
  );
});

test('removing the last entry removes the list, and the JSON output names the change', async () => {
  const cluster = clusterOf(scope('shop/cart', { spec: { pins: [cart] } }));
  const { out } = await commandLine(`pin cart ${cart} --remove -o json`, cluster);
  expect(JSON.parse(out)).toMatchObject({ result: 'done' });
  expect(cluster.patches[0]?.body).toMatchObject({ spec: { pins: null } });
});

test('adding entries and removing them again gives the list as it was', () => {
  const entry = fc.constantFrom('a/x', 'a/y', 'b/z', 'c/*');
  fc.assert(
    fc.property(fc.uniqueArray(entry), fc.array(entry), (pins, added) => {
      const before = readWorkloadScope(scope('shop/cart', { spec: { pins } }));
      const news = added.filter((each) => !pins.includes(each));
      const { patch } = listChange(before, 'pins', news, 'add');
      const after = patch ? (patch as { spec: { pins: string[] } }).spec.pins : pins;
      const back = listChange({ ...before, pins: after }, 'pins', news, 'remove').patch;
      const last = back ? ((back as { spec: { pins: string[] | null } }).spec.pins ?? []) : after;
      expect(last).toEqual(pins);
    }),
  );
});

test.each([
  ['shop/cart.shop.svc.cluster.local', cart],
  ['Cart.Shop.svc.cluster.local', cart],
  ['*/*.example.com', '*/*.example.com'],
  ['cart.shop', undefined],
  ['api.example.com', undefined],
  ['a/b/c', undefined],
])('the text %s is the entry %s', (text, expected) => {
  expect(entryOfText(text)).toBe(expected);
});
