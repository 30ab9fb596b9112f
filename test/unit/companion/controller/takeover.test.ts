import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, expect, test } from 'vitest';
import { controllerServerName } from '../../../../companion/contract/rpc.ts';
import { startConsole } from '../../../../companion/controller/console/server.ts';
import {
  beginsAtHeader,
  busyTries,
  packed,
  takeOver,
} from '../../../../companion/controller/console/takeover.ts';
import { createControllerMetrics } from '../../../../companion/controller/metrics.ts';
import { selfSigned } from '../../../../companion/controller/nodes/x509.ts';
import { createState } from '../../../../companion/controller/state/state.ts';
import { createHistory } from '../../../../companion/core/history/history.ts';

const start = Date.parse('2026-01-01T00:00:00Z');
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const keysOfToday = () => selfSigned(controllerServerName, new Date(Date.now() - 60_000), 1);
const keys = keysOfToday();

async function serve({ beginsAt = start, host = '127.0.0.1', port = 0 } = {}) {
  const history = createHistory(beginsAt);
  for (let n = 0; n < 2_000; n++) {
    history.edges.add(
      { namespace: 'shop', workload: `w${n}`, host: 'shop/cart' },
      start + n,
      n + 1,
    );
  }
  const server = await startConsole({
    known: {
      scopes: createState({ clusterDomain: 'cluster.local', namespace: 'lazyscope-system' }).scopes,
      history,
      now: () => start,
    },
    metrics: createControllerMetrics(new Registry()),
    access: async () => {
      throw new Error('no user here');
    },
    ...{ keys, pagePath: '/nowhere', host, port },
  });
  closing.push(() => server.close());
  const address = server.server.address();
  return { history, port: typeof address === 'object' ? (address?.port ?? 0) : 0 };
}

async function take(port: number, own = keys, peers = ['127.0.0.1']) {
  const fresh = createHistory(start + 5_000);
  const outcome = await takeOver({
    ...{ history: fresh, keys: own, port, service: 'controllers' },
    log: pino({ level: 'silent' }),
    ...{ addresses: async () => peers, pauseMs: 1 },
  });
  return { outcome, fresh };
}

test('a replica that starts has the history of the other one', async () => {
  const { history, port } = await serve();
  const { outcome, fresh } = await take(port);
  expect([outcome, fresh.beginsAt(), fresh.edges.size()]).toEqual(['taken', start, 2_000]);
  const range = { from: start, to: start + 5_000 };
  expect(fresh.edges.within(0, range)).toEqual(history.edges.within(0, range));
  expect((await take(port)).outcome).toBe('taken');
});

test('of several replicas, the one with the longest history gives it, whichever answers first', async () => {
  const hosts = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];
  const { port } = await serve({ beginsAt: start + 2_000 });
  await serve({ host: '127.0.0.2', port });
  await serve({ beginsAt: start + 1_000, host: '127.0.0.3', port });
  for (const peers of [hosts, hosts.toReversed(), ['127.0.0.4', ...hosts]]) {
    const { outcome, fresh } = await take(port, keys, peers);
    expect([outcome, fresh.beginsAt()]).toEqual(['taken', start]);
  }
});

/** A replica that is busy with another one for its first requests. */
async function serveBusy(refusals: number) {
  const history = createHistory(start);
  let asked = 0;
  const server = createServer({ cert: keys.certificate, key: keys.key }, (request, response) => {
    if (request.method === 'HEAD') return response.setHeader(beginsAtHeader, start).end();
    asked += 1;
    if (asked <= refusals) return response.writeHead(429).end();
    return packed(history).pipe(response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => server.close());
  return { port: (server.address() as AddressInfo).port, asked: () => asked };
}

test.each([
  [1, 'taken', 2],
  [busyTries - 1, 'taken', busyTries],
  [1_000, 'none', busyTries],
] as const)(
  'a replica that is busy %s times is asked again, with a bound: %s after %s requests',
  async (refusals, outcome, requests) => {
    const { port, asked } = await serveBusy(refusals);
    expect([(await take(port)).outcome, asked()]).toEqual([outcome, requests]);
  },
);

test('who has another key gets no history, and gives none', async () => {
  const { port } = await serve();
  const other = keysOfToday();
  for (const own of [other, { ...keys, key: other.key }, { ...other, key: keys.key }]) {
    const { outcome, fresh } = await take(port, own);
    expect([outcome, fresh.edges.size(), fresh.beginsAt()]).toEqual(['none', 0, start + 5_000]);
  }
});

test('without another replica, history begins with this one', async () => {
  const { outcome, fresh } = await take(1);
  expect([outcome, fresh.beginsAt()]).toEqual(['none', start + 5_000]);
});
