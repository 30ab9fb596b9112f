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
  for (let i = 0; i < count; i++) {
    await agent.do('send', { id: client, size });
    await agent.do('expect', { id: server, runs: [['x', size]] });
  }
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

const small = { streamLimit: 20, streamBytes: 4096 };

test('a listener that gets streams of small messages is left alone from the first one on', async () => {
  const loader = await rig.accelerate(small);
  const listener = await listen(rig.agent);
  const first = await connect(listener, loader);
  expect(first.taken).toBe(2);
  await stream(first, 20, 100);
  expect((await connect(listener, loader)).taken).toBe(2);
  await stream(first, 1, 100);
  const second = await connect(listener, loader);
  expect(second.taken).toBe(0);
  await stream(second, 5, 100);
  expect((await loader.stats()).counters).toMatchObject({ left_alone: 1, refused_stream: 1 });
  // The bypass still takes in connections to other listeners.
  expect((await connect(await listen(rig.agent), loader)).taken).toBe(2);
});

test('a listener that streams to its clients is left alone as well', async () => {
  const loader = await rig.accelerate(small);
  const listener = await listen(rig.agent);
  const { agent, client, server } = await connect(listener, loader);
  await stream({ agent, client: server, server: client, taken: 2 }, 21, 100);
  expect((await connect(listener, loader)).taken).toBe(0);
});

test('a listener with streams of large messages, or with few streams, is not left alone', async () => {
  const loader = await rig.accelerate(small);
  const large = await listen(rig.agent);
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

test('a listener that was left alone gets another chance after a while', async () => {
  const loader = await rig.accelerate({ ...small, streamSeconds: 3 });
  const listener = await listen(rig.agent);
  await stream(await connect(listener, loader), 21, 100);
  expect((await connect(listener, loader)).taken).toBe(0);
  for (let taken = 0; taken === 0; ) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    taken = (await connect(listener, loader)).taken;
  }
  await loader.policy({ ...small, streamSeconds: 0 });
  const { counters } = await loader.stats();
  await stream(await connect(listener, loader), 40, 100);
  expect((await connect(listener, loader)).taken).toBe(2);
  await rig.agent.do('close_all');
  expect((await loader.stats()).counters.left_alone).toBe(counters.left_alone);
});

test('the same port of another pod is another listener', async () => {
  const loader = await rig.accelerate(small);
  const [a, b] = [await rig.startAgent(pods[0].pid), await rig.startAgent(pods[1].pid)];
  const [streaming, talking] = [await listen(a, 4100), await listen(b, 4100)];
  await stream(await connect(streaming, loader), 21, 100);
  expect((await connect(streaming, loader)).taken).toBe(0);
  expect((await connect(talking, loader)).taken).toBe(2);
});

test('both ends of the first connection to a listener older than the loader stay on the stack', async () => {
  const listener = await listen(rig.agent);
  const loader = await rig.accelerate();
  const taken = [];
  for (let i = 0; i < 3; i++) taken.push((await connect(listener, loader)).taken);
  expect(taken).toEqual([0, 2, 2]);
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
