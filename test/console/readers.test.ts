import { expect, test } from 'vitest';
import type { Known } from '../../companion/controller/console/known.ts';
import { createHistory } from '../../companion/core/history/history.ts';
import { readWorkloadScope } from '../../companion/core/scope/workload-scope.ts';
import { accessibilityOf, goTo, picture, playedHour, useServers } from './rig.ts';

const { open, serve } = useServers();

test('a tenant sees its own namespace, and of others only the hosts that its own call', async () => {
  const server = await serve(playedHour().known);
  const { page } = await open(server.url, 'tenant-token');
  await page.getByRole('cell', { name: 'payments' }).first().waitFor();
  expect(await page.getByRole('main').innerText()).not.toContain('storefront');
  await page.getByText('Only the namespaces that you may list').waitFor();
  await goTo(page, '#/topology/payments', /payments/);
  await page
    .getByRole('cell', { name: /archive\.backoffice/ })
    .first()
    .waitFor();
  await picture(page, 'tenant');
  // Somebody else's workload looks as if it did not exist.
  await page.goto(`${server.url}#/workloads/storefront/web`);
  await page.getByText('no such workload here').waitFor();
});

test.each([
  ['without a token', '', /a bearer token is needed/],
  ['with a token that the API server does not accept', 'wrong', /does not accept this token/],
  ['with a token without the right', 'nobody', /may not list workloadscopes/],
])('the page asks for another token: %s', async (_, token, text) => {
  const server = await serve(playedHour().known);
  const { page } = await open(server.url, token);
  await page.getByRole('alert').filter({ hasText: text }).waitFor();
  expect(await accessibilityOf(page)).toEqual([]);
  await picture(page, 'token');
  await page.getByLabel('Token').fill('admin');
  await page.getByRole('button', { name: 'Show' }).click();
  await page.getByRole('heading', { level: 2, name: 'Overview' }).waitFor();
});

test('before the first scope, each view says what is missing', async () => {
  const now = () => Date.now();
  const history = createHistory(now());
  const server = await serve({ scopes: { get: () => undefined, values: () => [] }, history, now });
  const { page, problems } = await open(server.url, 'admin');
  await page.getByText('No workload has a WorkloadScope yet').waitFor();
  await page.getByText('kubectl label namespace NAME lazyscope.io/mode=observe').waitFor();
  expect(await accessibilityOf(page)).toEqual([]);
  await picture(page, 'empty-overview');
  for (const [hash, title, text] of [
    ['#/workloads', /^Workloads$/, '0 found'],
    ['#/topology', /all namespaces/, 'No calls in this time.'],
    ['#/advice', /^Advice$/, 'No workload has a WorkloadScope yet.'],
  ] as const) {
    await goTo(page, hash, title);
    await page.getByText(text).first().waitFor();
    expect(await accessibilityOf(page)).toEqual([]);
    await picture(page, `empty${hash.replace('#/', '-')}`);
  }
  expect(problems).toEqual([]);
  // A tenant whose namespaces have no scope yet is told so, and not that its token is bad.
  const tenant = await open(server.url, 'tenant-token');
  await tenant.page.getByText('in any namespace that has some').waitFor();
});

/** Names that would do something if they became markup, an address or a command. */
const hostile = [
  '<img src=x onerror="globalThis.pwned=1">',
  '<script>globalThis.pwned=1</script>',
  '"><svg onload=globalThis.pwned=1>',
  'javascript:globalThis.pwned=1',
  '../../api/v1/overview?x=<b>',
  '\u202eevil\u0000&lt;b&gt;{{globalThis.pwned=1}}',
];

function hostileMesh(): Known {
  const now = () => Date.now();
  const history = createHistory(now() - 60_000);
  const scopes = hostile.map((name, n) => {
    const called = { namespace: name, workload: name, host: `${name}/${hostile[n - 1] ?? name}` };
    history.edges.add(called, now(), 100);
    history.changes.add({ ...called, at: now(), kind: 'first-call', detail: name });
    const condition = { type: 'Scoped', status: 'False', reason: name, message: name };
    return readWorkloadScope({
      ...{ apiVersion: 'lazyscope.io/v1alpha1', kind: 'WorkloadScope' },
      metadata: { namespace: name, name, uid: name },
      spec: { selector: { matchLabels: { [name]: name } }, pins: [name] },
      status: {
        ...{ mode: 'observe', hostCount: 1, proxies: { total: 1 } },
        hosts: [{ host: called.host, reason: 'learned', message: name }],
        conditions: [condition, { ...condition, type: 'HostsLeftOut', status: 'True' }],
      },
    });
  });
  const get = (namespace: string, name: string) =>
    scopes.find((each) => each.namespace === namespace && each.name === name);
  return { scopes: { get, values: () => scopes }, history, now };
}

test('hostile names of hosts, workloads and labels stay text', async () => {
  const server = await serve(hostileMesh());
  const { page, problems } = await open(server.url, 'admin');
  const places = hostile.flatMap((name) => {
    const path = encodeURIComponent(name);
    return [`#/workloads/${path}/${path}`, `#/topology/${path}`, `#/topology/${path}/${path}`];
  });
  for (const place of ['#/overview', '#/workloads', '#/topology', ...places]) {
    await page.evaluate(`location.hash = ${JSON.stringify(place)}`);
    await page.locator('main h2').waitFor();
    await page.waitForFunction('document.querySelector("main table") !== null');
    const found = await page.evaluate(
      `({
        pwned: globalThis.pwned,
        foreign: document.querySelectorAll('main img, main script, main b').length,
        links: [...document.links].filter((a) => !a.getAttribute('href').startsWith('#')).length,
      })`,
    );
    expect([place, found]).toEqual([place, { foreign: 0, links: 0 }]);
  }
  expect(problems).toEqual([]);
});
