import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  bootstrap,
  discoveredFilter,
  filterDiscovery,
  httpListener,
  knownCluster,
  sidecarClusters,
} from '../../box/envoy/bootstrap.ts';
import { type Companion, gateway, startCompanion } from '../../box/envoy/companion.ts';
import { type Envoy, startEnvoy } from '../../box/envoy/envoy.ts';
import { routeConfig } from '../../box/envoy/routes.ts';
import { call } from './client.ts';
import { startHttp, type Upstream } from './upstreams.ts';

let folder: string;
let companion: Companion;
let upstreams: Upstream[] = [];
let envoy: Envoy;
let version = 0;

/** Sends the configuration as istiod does after a change of the WasmPlugin. */
async function setPlugin(pluginConfig: unknown): Promise<void> {
  const path = join(folder, 'filter.json');
  await writeFile(`${path}.new`, JSON.stringify(filterDiscovery(++version, pluginConfig)));
  await rename(`${path}.new`, path);
}

async function isTaken(): Promise<void> {
  const reloads = async () => {
    const stats = await envoy.stats('^extension_config_discovery.*config_reload$');
    return [...stats.values()][0];
  };
  await expect.poll(reloads, { timeout: 60_000 }).toBe(version);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lazyscope-plugin-'));
  await setPlugin({ mode: 'http' });
  companion = await startCompanion();
  const names = ['reviews', 'outside', 'egress', 'direct'];
  upstreams = await Promise.all(names.map((name) => startHttp(name)));
  const ports = upstreams.map((u) => u.port);
  const routes = { route_config: routeConfig({ reviews: knownCluster }) };
  const filter = discoveredFilter(join(folder, 'filter.json'));
  envoy = await startEnvoy(
    bootstrap([httpListener('http', routes, filter)], sidecarClusters(ports, companion.port)),
    2,
  );
});

afterAll(async () => {
  await envoy?.stop();
  await Promise.all(upstreams.map((u) => u.stop()));
  await companion?.stop();
  await rm(folder, { recursive: true, force: true });
});

test('no request fails while the configuration is replaced, and the new one takes effect', async () => {
  companion.answer = ({ authority }) => (authority === 'none.app' ? undefined : gateway());
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const replies = new Map<string, number>();
  let running = true;
  const load = Array.from({ length: 8 }, async (_, i) => {
    for (let n = 0; running; n++) {
      const host = n % 2 === 0 ? 'reviews' : `unknown-${i}-${n % 50}.app`;
      const { status, seen } = await call(envoy.port('http'), { host }, { agent });
      const key = `${status} ${seen?.server}`;
      replies.set(key, (replies.get(key) ?? 0) + 1);
    }
  });
  try {
    for (const flushSeconds of [1, 2, 3, 4]) {
      await setPlugin({ mode: 'http', flushSeconds });
      await isTaken();
    }
    await setPlugin({ mode: 'http', fallback: 'direct', directCidrs: ['127.0.0.0/8'] });
    await isTaken();
  } finally {
    running = false;
    await Promise.all(load);
  }
  agent.destroy();
  // On a busy machine an answer may take longer than a question's 200 ms; then the fallback serves.
  const late = replies.get('200 outside') ?? 0;
  replies.delete('200 outside');
  expect([...replies.keys()].sort()).toEqual(['200 egress', '200 reviews']);
  expect(late).toBeLessThan((replies.get('200 egress') ?? 0) / 10);
  const { seen } = await call(envoy.port('http'), { host: 'none.app' });
  expect(seen?.server).toBe('direct');
});

test('a client that leaves while its question is open harms nobody', async () => {
  let answer = () => {};
  companion.answer = () =>
    new Promise((resolve) => {
      answer = () => resolve(gateway());
    });
  companion.questions.length = 0;
  const leaver = new AbortController();
  const url = `http://127.0.0.1:${envoy.port('http')}/`;
  const left = fetch(url, { signal: leaver.signal }).catch((error: Error) => error.name);
  await expect.poll(() => companion.questions.length).toBe(1);
  leaver.abort();
  expect(await left).toBe('AbortError');
  answer();
  companion.answer = () => gateway();
  const { status, seen } = await call(envoy.port('http'), { host: 'stays.app' });
  expect([status, seen?.server]).toEqual([200, 'egress']);
  expect(envoy.log()).not.toMatch(/critical|assert|fault/i);
});
