import { expect, test } from 'vitest';
import { useRig } from './rig.ts';

const rig = useRig();

test('a reader that never reads stops its writer at the limit plus the buffers of the stack', async () => {
  const most = 256 << 20;
  const plain = await rig.agent.do('pair');
  const stack = (await rig.agent.do('fill', { id: plain.client, size: 65536, most })).n;
  const byteLimit = 1 << 20;
  const loader = await rig.accelerate({ byteLimit });
  const { client, server } = await rig.agent.do('pair');
  const { n } = await rig.agent.do('fill', { id: client, size: 65536, most });
  expect(n).toBeGreaterThanOrEqual(byteLimit);
  expect(n).toBeLessThan(byteLimit + 2 * stack + 1_000_000);
  const { counters, hops } = await loader.stats();
  expect(counters.to_stack_bytes).toBe(1);
  expect(hops.other.redirectedBytes).toBeLessThanOrEqual(byteLimit + 2);
  // The reader finds every byte, and the flow returns to redirection after the read.
  expect(await rig.agent.do('expect', { id: server, runs: [['f', n]] })).toEqual({ n });
  // The first message after a partial send follows the old verdict. The next message gets a new
  // verdict.
  for (const text of ['again', 'and again']) {
    await rig.agent.do('send', { id: client, text });
    expect((await rig.agent.do('receive', { id: server, size: 9 })).text).toBe(text);
  }
  expect((await loader.stats()).counters.to_redirect).toBe(2);
});

test('messages of one byte, each of which costs a thousand bytes of memory, are bounded by number', async () => {
  const loader = await rig.accelerate({ messageLimit: 200, streamLimit: 1_000_000 });
  const { client, server } = await rig.agent.do('pair');
  const before = (await loader.stats()).hops.other.redirectedMessages;
  const { n } = await rig.agent.do('fill', { id: client, size: 1, most: 20_000 });
  const { hops, counters } = await loader.stats();
  expect(hops.other.redirectedMessages - before).toBe(200);
  expect(counters.to_stack_messages).toBe(1);
  expect(await rig.agent.do('expect', { id: server, runs: [['f', n]] })).toEqual({ n });
});

test('a reader that keeps up is never bounded by the number of messages', async () => {
  const loader = await rig.accelerate({ messageLimit: 50, streamLimit: 1_000_000 });
  const { client, server } = await rig.agent.do('pair');
  for (let i = 0; i < 300; i++) {
    await rig.agent.do('send', { id: client, size: 10 });
    // The reader stays one message behind, so that one message is always unread.
    if (i > 0) await rig.agent.do('receive', { id: server, size: 10 });
  }
  expect((await loader.stats()).counters.to_stack_messages).toBe(0);
});

test('a stream of small messages goes to the stack until something comes back', async () => {
  const loader = await rig.accelerate({ streamLimit: 20, streamBytes: 4096, messageLimit: 1000 });
  const redirected = async () => (await loader.stats()).hops.other.redirectedMessages;
  const { client, server } = await rig.agent.do('pair');
  const talk = async (size: number, count: number) => {
    const before = await redirected();
    for (let i = 0; i < count; i++) {
      await rig.agent.do('send', { id: client, size });
      await rig.agent.do('receive', { id: server, size });
    }
    return (await redirected()) - before;
  };
  expect(await talk(1000, 40)).toBe(20);
  expect(await talk(1000, 40)).toBe(0);
  await rig.agent.do('send', { id: server, text: 'x' });
  await rig.agent.do('receive', { id: client, size: 1 });
  expect(await talk(1000, 10)).toBe(10);
  // The bound does not count large messages.
  await rig.agent.do('send', { id: server, text: 'x' });
  await rig.agent.do('receive', { id: client, size: 1 });
  expect(await talk(16_384, 40)).toBe(40);
});

test('connections beyond the size of the table use the stack', async () => {
  const loader = await rig.accelerate({ connections: 4 });
  const pairs = [];
  for (let i = 0; i < 12; i++) pairs.push(await rig.agent.do('pair'));
  for (const [i, { client, server }] of pairs.entries()) {
    await rig.agent.do('send', { id: client, text: `to ${i}` });
    expect((await rig.agent.do('receive', { id: server, size: 20 })).text).toBe(`to ${i}`);
    await rig.agent.do('send', { id: server, text: `from ${i}` });
    expect((await rig.agent.do('receive', { id: client, size: 20 })).text).toBe(`from ${i}`);
  }
  const { counters, connections } = await loader.stats();
  expect(connections).toBeLessThanOrEqual(4);
  expect((counters.no_room ?? 0) + (counters.no_connection ?? 0)).toBeGreaterThan(0);
  await rig.agent.do('close_all');
  expect(await loader.stats()).toMatchObject({ connections: 0, sockets: 0 });
});

test('50,000 connections leave nothing in the tables', { timeout: 240_000 }, async () => {
  const loader = await rig.accelerate();
  expect(await rig.agent.do('churn', { count: 50_000 })).toEqual({ wrong: 0 });
  const { sockets, arrived, connections, expected, waiting, swept, counters } =
    await loader.stats();
  expect({ sockets, arrived, connections, expected, waiting, swept }).toEqual({
    arrived: 0,
    sockets: 0,
    connections: 0,
    expected: 0,
    waiting: 0,
    swept: 0,
  });
  expect(counters.server_in).toBeGreaterThanOrEqual(50_000);
  expect(counters).toMatchObject({ no_room: 0, no_storage: 0, no_connection: 0 });
});
