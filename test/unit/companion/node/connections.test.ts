import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { testMetrics } from '../../../../box/played/fixtures.ts';
import { shareConnections } from '../../../../companion/node/connections.ts';
import { eventually } from './running-node.ts';

const closing: (() => unknown)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

const pods = ['127.0.0.21', '127.0.0.22', '127.0.0.23'];
const [hostile = '', other = '', third = ''] = pods;
const strange = '127.0.0.31';

async function serve(bounds: { all: number; source: number; strangers: number }) {
  const { metrics, value } = testMetrics();
  const server = createServer((_, response) => response.end('ok'));
  shareConnections(server, { serves: (address) => pods.includes(address), metrics, bounds });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  closing.push(
    () => server.close(),
    () => server.closeAllConnections(),
  );

  async function open(from: string): Promise<Socket> {
    const socket = connect({ host: '127.0.0.1', port, localAddress: from });
    socket.on('error', () => undefined);
    closing.push(() => socket.destroy());
    await once(socket, 'connect');
    // Accept the sockets in the order of the calls, so that the test knows the oldest.
    await new Promise((resolve) => setImmediate(resolve));
    return socket;
  }
  async function isServed(from: string): Promise<boolean> {
    const socket = await open(from);
    socket.end('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
    return Buffer.concat(await socket.toArray().catch(() => [])).includes('200 OK');
  }
  const dropped = (bound: string) => value('node_connections_dropped_total', { bound });
  return { open, isServed, dropped };
}

test('when all connections are in use, the source with the most loses its oldest', async () => {
  const { open, isServed, dropped } = await serve({ all: 8, source: 6, strangers: 2 });
  const held: Socket[] = [];
  for (let n = 0; n < 6; n++) held.push(await open(hostile));
  await open(other);
  await open(other);
  expect(await isServed(third)).toBe(true);
  await eventually(() => held[0]?.closed);
  expect(held.slice(1).filter(({ closed }) => closed)).toEqual([]);
  expect(await dropped('all')).toBe(1);
});

test('a source that has the most itself cannot close connections of others', async () => {
  const { open, dropped } = await serve({ all: 4, source: 4, strangers: 1 });
  const others = [await open(other), await open(third)];
  await open(hostile);
  await open(hostile);
  const late = await open(hostile);
  await eventually(() => late.closed);
  expect(others.filter(({ closed }) => closed)).toEqual([]);
  expect(await dropped('all')).toBe(1);
});

test('strangers share a few connections, and pods are not affected', async () => {
  const { open, isServed, dropped } = await serve({ all: 8, source: 4, strangers: 2 });
  for (let n = 0; n < 5; n++) await open(strange);
  await eventually(async () => (await dropped('strangers')) === 3);
  expect(await isServed(hostile)).toBe(true);
});

test('a closed connection makes room', async () => {
  const { open, isServed } = await serve({ all: 4, source: 2, strangers: 1 });
  const [first] = [await open(hostile), await open(hostile)];
  expect(await isServed(hostile)).toBe(false);
  first?.destroy();
  await eventually(() => isServed(hostile));
});
