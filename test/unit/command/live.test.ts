import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { typicalMs, warmMs } from '../../../command/core/top.ts';
import { askConsole, openConsole } from '../../../command/frame/console.ts';
import { controllerServerName } from '../../../companion/contract/rpc.ts';
import { selfSigned } from '../../../companion/controller/nodes/x509.ts';
import type { KubeObject } from '../../../companion/kube/object.ts';
import { commandLine } from './host.ts';
import { cart, clusterFor, type Mended, now, serve } from './page.ts';

test('top shows rates, first calls of a quarter of an hour, and what was learned and expired', async () => {
  const { port, keys } = await serve();
  const cluster = clusterFor(port, { ca: keys.certificate });
  const { code, out, err } = await commandLine('top -A --once', cluster);
  expect([code, err]).toEqual([0, '']);
  expect(new Set(cluster.forwarded)).toEqual(
    new Set(['lazyscope-system/lazyscope-controller-1:9474']),
  );
  expect(out).toMatch(/^\d+\.\d calls\/s over the last 6\d s\n/);
  expect(out).toMatch(/shop +web +shop\/cart\S+ +\d+\.\d\nbilling +ledger /);
  expect(out).toMatch(
    /FIRST-CALLS +IN-15-MIN .*\ngateway +2 +\d+(?:\.\d)? ms .*\nhold +1 +\d+(?:\.\d)? ms/,
  );
  expect(out).toMatch(/5s +expired +shop .*\n1m0s +learned +shop .* -\n/);
});

test('top as JSON has the same of one namespace', async () => {
  const { port, keys } = await serve();
  const cluster = clusterFor(port, { ca: keys.certificate });
  const { out } = await commandLine('top -n shop -o json', cluster);
  const { edges, firstCalls, changes } = JSON.parse(out);
  expect(edges).toMatchObject([{ namespace: 'shop', workload: 'web', host: cart }]);
  expect(edges[0].callsPerSecond).toBeGreaterThan(5);
  expect(firstCalls).toEqual([
    { strategy: 'gateway', calls: 2, typicalMs: typicalMs.gateway },
    { strategy: 'hold', calls: 1, typicalMs: typicalMs.hold },
  ]);
  expect(
    changes.map(({ kind, secondsAgo }: Record<string, unknown>) => [kind, secondsAgo]),
  ).toEqual([
    ['host-removed', 5],
    ['host-added', 60],
  ]);
});

const redraw = '\u001b[H\u001b[J';

test('on a terminal top draws again until the controller has gone, and says so', async () => {
  const { port, keys, stop } = await serve();
  const cluster = clusterFor(port, { ca: keys.certificate });
  let views = 0;
  const { code, out, err } = await commandLine('top -A', cluster, now, {
    isTerminal: true,
    onWrite(text) {
      if (text.includes(redraw)) views += 1;
      if (views === 2) void stop();
    },
  });
  expect(code).toBe(1);
  expect(out.split(redraw).length).toBeGreaterThan(2);
  expect(err).toContain('lazyscope-controller-1');
});

test('the typical costs are those of the kept benchmark', () => {
  const path = join(import.meta.dirname, '../../../bench/results/first-call.json');
  const { rows } = JSON.parse(readFileSync(path, 'utf8')) as {
    rows: { case: string; metric: string; value: number }[];
  };
  const measured = (subject: string, metric: string) =>
    Number(rows.find((row) => row.case === subject && row.metric === metric)?.value.toFixed(1));
  const costs = Object.keys(typicalMs).map((name) => [name, measured(name, 'first call, p50')]);
  expect(typicalMs).toEqual(Object.fromEntries(costs));
  expect(warmMs).toBe(measured('full configuration', 'warm call, p50'));
});

test('dashboard prints an address with a token, which serves the page until it is interrupted', async () => {
  const { port, keys } = await serve();
  const cluster = clusterFor(port, { ca: keys.certificate });
  let printed = '';
  const { code, out, err } = await commandLine('dashboard --no-browser', cluster, now, {
    onWrite: (text) => {
      printed += text;
    },
    async interrupted() {
      const [, address, token] =
        /^(http:\/\/127\.0\.0\.1:\d+\/)#token=(\S+)\n$/.exec(printed) ?? [];
      const headers = { authorization: `Bearer ${token}` };
      const response = await fetch(`${address}api/v1/overview`, { headers });
      expect([response.status, await response.json()]).toMatchObject([200, { everything: true }]);
    },
  });
  expect([code, out]).toEqual([0, printed]);
  expect(err).toContain('keep it to yourself');
  await expect(fetch(printed.replace(/#.*\n/, ''))).rejects.toThrow();
});

test.each([
  ['at once', 'no such pod'],
  ['only when the connection is used', ''],
])('the page stays open when its controller is replaced, which shows %s', async (_, refusal) => {
  const { port, keys } = await serve();
  const cluster = clusterFor(port, { ca: keys.certificate });
  let isReplaced = false;
  const { connectTo } = cluster;
  cluster.connectTo = async (pod, wanted) => {
    if (!isReplaced || pod.name === 'successor') return connectTo(pod, wanted);
    if (refusal !== '') throw new Error(refusal);
    const stream = new PassThrough();
    setImmediate(() => stream.destroy(new Error('connection refused')));
    return stream;
  };
  const { list } = cluster;
  cluster.list = async (query) => {
    const pods = await list(query);
    const renamed = (each: KubeObject) => ({
      ...each,
      metadata: { ...each.metadata, name: 'successor' },
    });
    return isReplaced ? pods.map(renamed) : pods;
  };
  const access = await openConsole(cluster, { warn: () => undefined });
  const look = () => askConsole(access, '/api/v1/overview');
  isReplaced = true;
  // The first connection only shows that the pod is gone; the page asks again by itself.
  if (refusal === '') await look().catch(() => undefined);
  await expect.poll(look).toMatchObject({ everything: true });
  expect(access.pod).toBe('successor');
  access.close();
});

test.each<[string, Mended, RegExp]>([
  ['no controller is ready', { ready: 'False' }, /no controller is ready.*\n.*remedy: install/s],
  [
    'the authority is missing',
    { ca: '' },
    /ConfigMap lazyscope-system\/lazyscope-ca has no ca\.crt/,
  ],
  ['the certificate is of somebody else', { ca: 'other' }, /self-signed|verify|issuer|authority/],
  [
    'the token may see nothing',
    { viewer: 'stranger' },
    /403: the user may not list.*\nremedy: ask/,
  ],
  ['the token is old', { viewer: 'old' }, /401: .*does not accept this token/],
  ['no token can be had', { viewer: '' }, /you lack the right to create tokens/],
])('top says why if %s', async (_, mended, text) => {
  const { port, keys } = await serve();
  const stranger = selfSigned(controllerServerName, new Date(), 1).certificate;
  const ca = mended.ca === 'other' ? stranger : (mended.ca ?? keys.certificate);
  const { code, err } = await commandLine('top --once', clusterFor(port, { ...mended, ca }));
  expect(code).toBe(1);
  expect(err).toMatch(text);
});

test('the user’s own token serves where no token of the account that looks can be had', async () => {
  const { port, keys } = await serve();
  const own = { ca: keys.certificate, viewer: '', own: 'viewer' };
  expect((await commandLine('top --once', clusterFor(port, own))).code).toBe(0);
});

test('a port that is taken is named', async () => {
  const { port, keys } = await serve();
  const cluster = clusterFor(port, { ca: keys.certificate });
  const { code, err } = await commandLine(`dashboard --no-browser --port ${port}`, cluster);
  expect([code, err]).toEqual([1, expect.stringContaining(`--port ${port}: listen EADDRINUSE`)]);
  expect((await commandLine('dashboard --port x', cluster)).code).toBe(64);
});

test('nodes shows what each node can and does, and why not', async () => {
  const { port, keys } = await serve();
  const cluster = clusterFor(port, { ca: keys.certificate });
  const { code, out, err } = await commandLine('nodes', cluster);
  expect([code, err]).toEqual([0, '']);
  expect(out).toMatch(/^node-1 +heard +6\.18 +cryptomb +on +active \(2 pods\)$/m);
  expect(out).toMatch(/^node-2 +not heard +- +unknown +off +no bypass agent has reported/m);
  expect(out).toContain('2 nodes: 1 can offload TLS, the bypass is on at 1.\n');
  const json = JSON.parse((await commandLine('nodes -o json', cluster)).out);
  expect(json.nodes[0]).toMatchObject({
    ...{ node: 'node-1', heard: true, tls: { can: 'cryptomb' }, bypass: { does: 'on' } },
  });
});

test('nodes are refused to a user who sees some namespaces only', async () => {
  const { port, keys } = await serve();
  const cluster = clusterFor(port, { ca: keys.certificate, viewer: 'somebody' });
  const { code, err } = await commandLine('nodes', cluster);
  expect(code).toBe(1);
  expect(err).toContain('403');
});
