import { afterEach, beforeEach, expect, test } from 'vitest';
import { bootstrap, cluster, httpFilter, httpListener } from '../../box/envoy/bootstrap.ts';
import {
  type Answer,
  type Companion,
  gateway,
  hold,
  startCompanion,
} from '../../box/envoy/companion.ts';
import { type Envoy, startEnvoy } from '../../box/envoy/envoy.ts';
import { routeConfig } from '../../box/envoy/routes.ts';
import { call } from './client.ts';
import { startHttp, type Upstream } from './upstreams.ts';

const workers = 2;

let companion: Companion;
let upstreams: Upstream[] = [];
let envoy: Envoy;

async function start(pluginConfig: unknown): Promise<void> {
  const ports = upstreams.map((u) => u.port);
  envoy = await startEnvoy(
    bootstrap(
      [httpListener('http', { route_config: routeConfig({}) }, httpFilter(pluginConfig))],
      [
        cluster('PassthroughCluster', ports[0] ?? 0),
        cluster('lazyscope-egress', ports[1] ?? 0),
        cluster('lazyscope-direct', ports[2] ?? 0),
        cluster('lazyscope-node', companion.port),
        cluster('lazyscope-hold', companion.port),
      ],
    ),
    workers,
  );
}

beforeEach(async () => {
  companion = await startCompanion();
  const names = ['outside', 'egress', 'direct'];
  upstreams = await Promise.all(names.map((name) => startHttp(name)));
});

afterEach(async () => {
  await envoy?.stop();
  await Promise.all(upstreams.map((u) => u.stop()));
  await companion?.stop();
});

/** The upstreams that answered `count` concurrent requests. */
async function serversOf(host: string, count: number): Promise<string[]> {
  const calls = Array.from({ length: count }, () => call(envoy.port('http'), { host }));
  return [...new Set((await Promise.all(calls)).map((r) => `${r.status} ${r.seen?.server}`))];
}

test('many requests to one unknown destination cause one question for each worker', async () => {
  await start({});
  let answer = (_: Answer) => {};
  const answered = new Promise<Answer>((resolve) => {
    answer = resolve;
  });
  companion.answer = () => answered;
  const servers = serversOf('crowd.app', 100);
  await expect.poll(() => companion.questions.length).toBeGreaterThan(0);
  answer(gateway());
  expect(await servers).toEqual(['200 egress']);
  expect(companion.questions.length).toBeLessThanOrEqual(workers);
});

test('requests take the fallback while a companion hangs', async () => {
  await start({ fallback: 'passthrough' });
  companion.answer = () => new Promise(() => {});
  expect(await serversOf('silent.app', 20)).toEqual(['200 outside']);
});

test('requests take the fallback when the companion is gone', async () => {
  await start({ fallback: 'direct', directCidrs: ['10.0.0.0/8', '127.0.0.0/8'] });
  await companion.stop();
  expect(await serversOf('gone.app', 20)).toEqual(['200 direct']);
});

test('the fallback `direct` is kept to its address blocks', async () => {
  await start({ fallback: 'direct', directCidrs: ['10.0.0.0/8', 'fd00::/8'] });
  await companion.stop();
  expect(await serversOf('elsewhere.app', 1)).toEqual(['200 outside']);
});

test('the last known answer serves when no new one comes, even after it has expired', async () => {
  await start({});
  companion.answer = () => gateway({ 'x-lazyscope-ttl': '1' });
  // This is enough requests for both workers to have the answer.
  expect(await serversOf('known.app', 50)).toEqual(['200 egress']);
  await companion.stop();
  await new Promise((resolve) => setTimeout(resolve, 1100));
  expect(await serversOf('known.app', 50)).toEqual(['200 egress']);
});

test('the filter sends no request to be held by a companion that is gone', async () => {
  await start({});
  companion.answer = () => hold({ 'x-lazyscope-otherwise': 'direct' });
  companion.hold = () => new Promise((resolve) => setTimeout(resolve, 50));
  expect(await serversOf('held.app', 20)).toEqual(['200 direct']);
  await companion.stop();
  expect(await serversOf('held.app', 20)).toEqual(['200 direct']);
});

test('an invalid answer counts as no answer', async () => {
  await start({});
  const { 'x-lazyscope-sni': _, ...noSni } = gateway();
  companion.answer = ({ authority }) =>
    authority === 'no-sni.app' ? noSni : { ...gateway(), 'x-lazyscope-strategy': 'teleport' };
  expect(await serversOf('no-sni.app', 1)).toEqual(['200 outside']);
  expect(await serversOf('odd.app', 1)).toEqual(['200 outside']);
});

test('an authority over 512 bytes takes the fallback without a question', async () => {
  await start({});
  companion.answer = () => gateway();
  expect(await serversOf(`${'a'.repeat(600)}.app`, 1)).toEqual(['200 outside']);
  expect(companion.questions).toEqual([]);
});

test('an invalid configuration leaves the filter working', async () => {
  await start('{"fallback":"teleport","directCidrs":["10.0.0.0/99"],"flushSeconds":"soon"');
  companion.answer = () => gateway();
  expect(await serversOf('works.app', 1)).toEqual(['200 egress']);
  expect(envoy.log()).toContain('bad value in pluginConfig, its default is used: flushSeconds');
});
