import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from '../../box/bypass/agent.ts';
import { createPods, type Pod } from '../../box/bypass/pods.ts';
import type { Loader } from '../../companion/bypass/loader.ts';
import { useRig } from './rig.ts';

// The history of a listener decides whether the bypass takes in the clients of this listener.

const rig = useRig();
let pods: [Pod, Pod];

beforeAll(async () => {
  pods = await createPods();
});
afterAll(async () => {
  for (const each of pods) await each.remove();
});

type Listener = { agent: Agent; id: number; port: number };

async function listen(agent: Agent, port = 0): Promise<Listener> {
  return { agent, ...(await agent.do('listen', { port })) };
}

/** Connects to a listener, and counts how many of the two sockets the bypass took in. */
async function connect({ agent, id, port }: Listener, loader: Loader) {
  const before = (await loader.stats()).sockets;
  const client = (await agent.do('connect', { port })).id;
  const server = (await agent.do('accept', { id })).id;
  return { agent, client, server, taken: (await loader.stats()).sockets - before };
}
type Connection = Awaited<ReturnType<typeof connect>>;

/** Sends messages in one direction. */
async function stream({ agent, client, server }: Connection, count: number, size: number) {
  await agent.do('stream', { id: client, to: server, count, size });
}

/** Sends messages in turn. */
async function talk({ agent, client, server }: Connection, count: number) {
  for (let i = 0; i < count; i++) {
    await agent.do('send', { id: client, text: 'question' });
    await agent.do('receive', { id: server, size: 8 });
    await agent.do('send', { id: server, text: 'answer' });
    await agent.do('receive', { id: client, size: 6 });
  }
}

const small = { streamLimit: 20, streamBytes: 4096, streamSeconds: 600 };

/** Starts a listener whose first connection has answered. */
async function listenKnown(agent: Agent, loader: Loader, port = 0): Promise<Listener> {
  const listener = await listen(agent, port);
  const first = await connect(listener, loader);
  expect(first.taken).toBe(0);
  await talk(first, 1);
  return listener;
}

test('the first connection of a listener stays on the stack, and the next does once it has answered', async () => {
  const loader = await rig.accelerate(small);
  const listener = await listen(rig.agent);
  const first = await connect(listener, loader);
  await rig.agent.do('send', { id: first.client, text: 'question' });
  await rig.agent.do('receive', { id: first.server, size: 8 });
  expect([first.taken, (await connect(listener, loader)).taken]).toEqual([0, 0]);
  await rig.agent.do('send', { id: first.server, text: 'answer' });
  expect((await connect(listener, loader)).taken).toBe(2);
  expect((await loader.stats()).counters).toMatchObject({ watched: 2, left_alone: 0 });
});

test('no stream of small messages pays for what its listener turns out to be', async () => {
  const loader = await rig.accelerate(small);
  for (const towards of ['server', 'client'] as const) {
    const listener = await listen(rig.agent);
    const first = await connect(listener, loader);
    const { agent, client, server } = first;
    await stream(
      towards === 'server' ? first : { ...first, client: server, server: client },
      21,
      100,
    );
    // Another connection answers, which says nothing against the stream.
    const second = await connect(listener, loader);
    await talk(second, 2);
    const third = await connect(listener, loader);
    await stream(third, 5, 100);
    expect([first, second, third].map(({ taken }) => taken)).toEqual([0, 0, 0]);
    for (const id of [client, server]) await agent.do('close', { id });
  }
  const { counters } = await loader.stats();
  expect(counters).toMatchObject({ left_alone: 2, refused_stream: 4, to_stack_stream: 0 });
  // The bypass still takes in connections to other listeners.
  expect((await connect(await listenKnown(rig.agent, loader), loader)).taken).toBe(2);
});

test('a listener that answered first, and gets streams of small messages, is left alone from the first one on', async () => {
  const loader = await rig.accelerate(small);
  const listener = await listenKnown(rig.agent, loader);
  const first = await connect(listener, loader);
  expect(first.taken).toBe(2);
  await stream(first, 20, 100);
  expect((await connect(listener, loader)).taken).toBe(2);
  await stream(first, 1, 100);
  expect((await connect(listener, loader)).taken).toBe(0);
  expect((await loader.stats()).counters).toMatchObject({ left_alone: 1, refused_stream: 1 });
});

test('a listener with streams of large messages, or with few streams, is not left alone', async () => {
  const loader = await rig.accelerate(small);
  const large = await listenKnown(rig.agent, loader);
  await stream(await connect(large, loader), 60, 16_384);
  expect((await connect(large, loader)).taken).toBe(2);

  const mixed = await listen(rig.agent);
  const questions = await connect(mixed, loader);
  await talk(questions, 60);
  // The bypass judges a connection when the connection ends, or after many messages.
  for (const id of [questions.client, questions.server]) await rig.agent.do('close', { id });
  const download = await connect(mixed, loader);
  await stream(download, 60, 100);
  expect((await loader.stats()).counters).toMatchObject({ to_stack_stream: 1, left_alone: 0 });
  expect((await connect(mixed, loader)).taken).toBe(2);
});

/** Opens connections until the bypass takes one in; each talks. */
async function untilTaken(listener: Listener, loader: Loader): Promise<void> {
  for (let taken = 0; taken === 0; ) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const connection = await connect(listener, loader);
    taken = connection.taken;
    await talk(connection, 1);
  }
}

test('a listener that was left alone gets another chance after a while', async () => {
  const loader = await rig.accelerate({ ...small, streamSeconds: 3 });
  const listener = await listen(rig.agent);
  await stream(await connect(listener, loader), 21, 100);
  expect((await connect(listener, loader)).taken).toBe(0);
  await untilTaken(listener, loader);
  await loader.policy({ ...small, streamSeconds: 0 });
  const { counters } = await loader.stats();
  await stream(await connect(listener, loader), 40, 100);
  expect((await connect(listener, loader)).taken).toBe(2);
  await rig.agent.do('close_all');
  expect((await loader.stats()).counters.left_alone).toBe(counters.left_alone);
});

test('a listener is left alone for as long as it goes on with streams', async () => {
  const loader = await rig.accelerate({ ...small, streamSeconds: 2 });
  const listener = await listen(rig.agent);
  const endless = await connect(listener, loader);
  const end = performance.now() + 4_000;
  let taken = 0;
  // Each batch of 1,024 messages tells the listener.
  for (let sent = 0; performance.now() < end || sent < 2_048; sent += 1_024) {
    await stream(endless, 1_024, 100);
    taken += (await connect(listener, loader)).taken;
  }
  expect(taken).toBe(0);
  expect((await loader.stats()).counters).toMatchObject({ left_alone: 1, to_stack_stream: 0 });
});

test('the same port of another pod is another listener', async () => {
  const loader = await rig.accelerate(small);
  const [a, b] = [await rig.startAgent(pods[0].pid), await rig.startAgent(pods[1].pid)];
  const [streaming, talking] = [
    await listenKnown(a, loader, 4100),
    await listenKnown(b, loader, 4100),
  ];
  await stream(await connect(streaming, loader), 21, 100);
  expect((await connect(streaming, loader)).taken).toBe(0);
  expect((await connect(talking, loader)).taken).toBe(2);
});

test('a listener older than the loader is known once its first connection has answered', async () => {
  const listener = await listen(rig.agent);
  const loader = await rig.accelerate(small);
  const first = await connect(listener, loader);
  const second = await connect(listener, loader);
  await talk(first, 1);
  expect([first, second, await connect(listener, loader)].map(({ taken }) => taken)).toEqual([
    0, 0, 2,
  ]);
});

test('the first connection of a container shows both how it reads and what its listener is', async () => {
  const older = await listen(rig.agent);
  const loader = await rig.loader();
  await loader.start({ ...small, cgroups: [rig.cgroup] });
  const first = await connect(older, loader);
  await stream(first, 21, 100);
  const second = await connect(older, loader);
  expect([first.taken, second.taken]).toEqual([0, 0]);
  expect((await loader.stats()).counters).toMatchObject({ left_alone: 1, refused_stream: 1 });
});

test('no client of a server is taken in while the server’s container is unknown or blocks in reads', async () => {
  const loader = await rig.accelerate();
  const folder = join(rig.cgroup, 'container');
  mkdirSync(folder);
  const container = await startAgent(folder);
  const { id, port } = await container.do('listen');
  const reach = async () => {
    const client = await rig.agent.do('connect', { port });
    const server = await container.do('accept', { id });
    await rig.agent.do('send', { id: client.id, text: 'x' });
    return { server: server.id, sockets: (await loader.stats()).sockets };
  };
  const unknown = await reach();
  expect(unknown.sockets).toBe(0);
  await container.do('receive', { id: unknown.server, size: 1 });
  const known = await reach();
  expect(known.sockets).toBe(2);
  // A read with a time limit polls first. This read blocks.
  await container.do('receive', { id: known.server, size: 1, block: true });
  expect((await reach()).sockets).toBe(2);
  await container.stop();
  rmdirSync(folder);
});
