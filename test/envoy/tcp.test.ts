import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  bootstrap,
  cluster,
  httpFilter,
  httpListener,
  mutualTls,
  tcpListener,
} from '../../box/envoy/bootstrap.ts';
import {
  type Companion,
  direct,
  gateway,
  hold,
  passthrough,
  startCompanion,
} from '../../box/envoy/companion.ts';
import { type Envoy, startEnvoy } from '../../box/envoy/envoy.ts';
import { routeConfig } from '../../box/envoy/routes.ts';
import { call } from './client.ts';
import {
  type Certificates,
  makeCertificates,
  startMutualTcp,
  startTcp,
  type Upstream,
} from './upstreams.ts';

const good = 'spiffe://cluster.local/ns/app/sa/db';
const evil = 'spiffe://cluster.local/ns/app/sa/evil';
const sni = 'outbound_.3306_._.db.app.svc.cluster.local';

let companion: Companion;
let certificates: Certificates;
let upstreams: Upstream[] = [];
let envoy: Envoy;

/**
 * The filter caches answers by destination, so every test has its own listener, with the number of
 * the test.
 */
const listeners = Array.from({ length: 9 }, (_, i) => `tcp-${i}`);
let listener = -1;

beforeAll(async () => {
  companion = await startCompanion();
  certificates = await makeCertificates(good);
  upstreams = await Promise.all([
    startTcp('plain', false),
    startMutualTcp('egress', certificates.server, true),
    startMutualTcp('direct', certificates.server, false),
  ]);
  const ports = upstreams.map((u) => u.port);
  const mode = { mode: 'tcp' };
  envoy = await startEnvoy(
    bootstrap(
      [
        ...listeners.map((name) => tcpListener(name, mode)),
        tcpListener('known', mode, 'outbound|3306||db.app.svc.cluster.local'),
        httpListener('http', { route_config: routeConfig({}) }, httpFilter({ mode: 'http' })),
      ],
      [
        cluster('PassthroughCluster', ports[0] ?? 0),
        cluster('lazyscope-egress', ports[1] ?? 0, mutualTls(certificates.client)),
        cluster('lazyscope-direct', ports[2] ?? 0, mutualTls(certificates.client)),
        cluster('lazyscope-node', companion.port),
        cluster('lazyscope-hold', companion.port),
      ],
    ),
  );
});

afterAll(async () => {
  await envoy?.stop();
  await Promise.all(upstreams.map((u) => u.stop()));
  await companion?.stop();
  await certificates?.remove();
});

beforeEach(() => {
  listener++;
  companion.questions.length = 0;
});

const port = () => envoy.port(listeners[listener] ?? '');

/** Connects, sends `first` at once unless it is empty, and reads until the server closes. */
async function talk(first: string): Promise<string> {
  const socket = connect(port(), '127.0.0.1');
  if (first !== '') socket.write(first);
  try {
    return await text(socket);
  } catch (error) {
    return `closed: ${(error as NodeJS.ErrnoException).code}`;
  }
}

test('server first: a client that sends nothing gets the greeting of the server behind the gateway', async () => {
  companion.answer = () => gateway({ 'x-lazyscope-sni': sni, 'x-lazyscope-identities': good });
  expect(await talk('')).toBe(`egress greets ${sni}`);
  const destination = `127.0.0.1:${port()}`;
  expect(companion.questions).toEqual([{ call: 'tcp', authority: undefined, destination }]);
});

test('client first: the client’s first bytes wait for the answer and arrive', async () => {
  companion.answer = async () => {
    await new Promise((resolve) => setTimeout(resolve, 50));
    return direct({ 'x-lazyscope-sni': sni });
  };
  expect(await talk('hello')).toBe(`direct got hello from ${sni}`);
});

test('passthrough leaves the connection to its cluster', async () => {
  companion.answer = () => passthrough;
  expect(await talk('hello')).toBe('plain got hello');
});

test('a connection is never held: it takes the fallback', async () => {
  companion.answer = () => hold({ 'x-lazyscope-otherwise': 'direct', 'x-lazyscope-sni': sni });
  expect(await talk('hello')).toBe(`direct got hello from ${sni}`);
  expect(companion.held).toEqual([]);
});

test('a server whose identity is not in the answer is refused', async () => {
  companion.answer = () => direct({ 'x-lazyscope-sni': sni, 'x-lazyscope-identities': evil });
  expect(await talk('hello')).not.toContain('direct got');
  const refused = 'cluster.lazyscope-direct.ssl.fail_verify_san';
  expect((await envoy.stats(`^${refused}$`)).get(refused)).toBeGreaterThan(0);
});

test('without an answer the connection takes the fallback', async () => {
  companion.answer = () => new Promise(() => {});
  expect(await talk('hello')).toBe('plain got hello');
});

test('a client that leaves while its question is open harms nobody', async () => {
  const leaver = connect(port(), '127.0.0.1');
  const left = once(leaver, 'close');
  companion.answer = async () => {
    await left;
    return direct({ 'x-lazyscope-sni': sni });
  };
  await expect.poll(() => companion.questions.length).toBe(1);
  const stayer = talk('hello');
  leaver.destroy();
  expect(await stayer).toBe(`direct got hello from ${sni}`);
});

test('a connection of a filter chain that Istio knows is counted without a question', async () => {
  const known = envoy.port('known');
  const socket = connect(known, '127.0.0.1');
  socket.end('hello');
  expect(await text(socket)).toBe('plain got hello');
  expect(companion.questions).toEqual([]);
  const counted = () => companion.reports.flatMap(({ entries }) => entries);
  const destination = { kind: 'tcp', address: `127.0.0.1:${known}` };
  await expect
    .poll(counted, { timeout: 60_000 })
    .toContainEqual({ destination, count: expect.any(BigInt) });
});

test('HTTP requests and connections share one VM, and reports distinguish them', async () => {
  companion.answer = () => passthrough;
  await talk('hello');
  await call(envoy.port('http'), { host: 'both.app' }).catch(() => {});
  const kinds = () => companion.reports.flatMap((r) => r.entries).map((e) => e.destination.kind);
  await expect.poll(kinds, { timeout: 60_000 }).toEqual(expect.arrayContaining(['tcp', 'http']));
  const inOne = companion.reports.some((r) => r.totals.requests > 0n && r.totals.connections > 0n);
  expect(inOne).toBe(true);
  expect(companion.reports.at(-1)?.totals.errors).toBe(0n);
});
