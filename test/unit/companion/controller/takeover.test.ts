import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, expect, test } from 'vitest';
import { controllerServerName } from '../../../../companion/contract/rpc.ts';
import { startConsole } from '../../../../companion/controller/console/server.ts';
import { takeOver } from '../../../../companion/controller/console/takeover.ts';
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

async function serve() {
  const history = createHistory(start);
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
    ...{ keys, pagePath: '/nowhere', host: '127.0.0.1', port: 0 },
  });
  closing.push(() => server.close());
  const address = server.server.address();
  return { history, port: typeof address === 'object' ? (address?.port ?? 0) : 0 };
}

async function take(port: number, own = keys) {
  const fresh = createHistory(start + 5_000);
  const outcome = await takeOver({
    ...{ history: fresh, keys: own, port, service: 'controllers' },
    log: pino({ level: 'silent' }),
    addresses: async () => ['127.0.0.1'],
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
