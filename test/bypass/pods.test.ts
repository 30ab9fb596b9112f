import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Agent, startAgent } from '../../box/bypass/agent.ts';
import { type Cgroup, createCgroup } from '../../box/bypass/cgroup.ts';
import { createPods, type Pod } from '../../box/bypass/pods.ts';
import { run } from '../../box/run.ts';
import { showReads, useRig } from './rig.ts';

const rig = useRig();

let pods: [Pod, Pod];
let outside: Agent;
let elsewhere: Cgroup;

beforeAll(async () => {
  pods = await createPods();
  elsewhere = await createCgroup();
  outside = await startAgent(elsewhere.path, pods[0].pid);
});

afterAll(async () => {
  await outside.stop();
  await elsewhere.remove();
  for (const each of pods) await each.remove();
});

test('two pods with the same loopback addresses and ports never receive each other’s bytes', async () => {
  const loader = await rig.accelerate();
  const ends = [];
  for (const { pid } of pods) {
    const agent = await rig.startAgent(pid);
    const listener = await agent.do('listen', { port: 4000 });
    const client = await agent.do('connect', { port: 4000, bind: 5000 });
    const server = await agent.do('accept', { id: listener.id });
    ends.push({ agent, client: client.id, server: server.id, listener: listener.id });
  }
  expect((await loader.stats()).connections).toBe(2);
  const [a, b] = ends;
  if (!a || !b) throw new Error('two pods');
  for (let round = 0; round < 20; round++)
    for (const [name, { agent, client, server }] of [
      ['a', a],
      ['b', b],
    ] as const) {
      await agent.do('send', { id: client, text: `${name}${round}` });
      expect((await agent.do('receive', { id: server, size: 9 })).text).toBe(`${name}${round}`);
    }
  // The server of one connection is closed. The bytes that its client still sends must reach no
  // other socket.
  await a.agent.do('close', { id: a.server });
  await a.agent.do('close', { id: a.listener });
  await a.agent.do('send', { id: a.client, text: 'poison' });
  expect((await b.agent.do('poll', { id: b.server, timeout: 0.2 })).events).toEqual([]);
});

test('a connection between two pods is redirected, also where REDIRECT changes its port', async () => {
  const loader = await rig.accelerate();
  const [a, b] = pods;
  const rule = [
    'PREROUTING',
    '-p',
    'tcp',
    '--dport',
    '80',
    '-j',
    'REDIRECT',
    '--to-ports',
    '15006',
  ];
  await b.iptables(...rule);
  const [one, two] = [await rig.startAgent(a.pid), await rig.startAgent(b.pid)];
  const { id } = await two.do('listen', { host: '10.77.0.2', port: 15006 });
  for (const port of [15006, 80]) {
    const client = await one.do('connect', { host: '10.77.0.2', port });
    const server = await two.do('accept', { id });
    await one.do('send', { id: client.id, text: `${port}` });
    expect((await two.do('receive', { id: server.id, size: 9 })).text).toBe(`${port}`);
    await two.do('send', { id: server.id, text: 'back' });
    expect((await one.do('receive', { id: client.id, size: 9 })).text).toBe('back');
  }
  expect((await loader.stats()).hops.inbound).toMatchObject({
    redirectedMessages: 4,
    stackMessages: 0,
  });
});

test('a connection between two pods is redirected by IPv6', async () => {
  const loader = await rig.accelerate();
  const addresses = ['fd77::1', 'fd77::2'] as const;
  for (const [i, { pid }] of pods.entries()) {
    const add = ['ip', 'address', 'add', `${addresses[i]}/64`, 'dev', 'eth0', 'nodad'];
    await run('nsenter', [`--net=/proc/${pid}/ns/net`, ...add]);
  }
  const [one, two] = [await rig.startAgent(pods[0].pid), await rig.startAgent(pods[1].pid)];
  const { id, port } = await two.do('listen', { host: addresses[1] });
  const client = await one.do('connect', { host: addresses[1], port });
  const server = await two.do('accept', { id });
  for (let i = 0; i < 10; i++) {
    await one.do('send', { id: client.id, text: `question ${i}` });
    expect((await two.do('receive', { id: server.id, size: 99 })).text).toBe(`question ${i}`);
    await two.do('send', { id: server.id, text: `answer ${i}` });
    expect((await one.do('receive', { id: client.id, size: 99 })).text).toBe(`answer ${i}`);
  }
  expect((await loader.stats()).hops.other).toMatchObject({
    redirectedMessages: 20,
    stackMessages: 0,
  });
});

test('connections with a client or a server outside of the accelerated cgroups are not taken in', async () => {
  const loader = await rig.accelerate();
  const server = await rig.startAgent(pods[1].pid);
  await showReads(server);
  const before = (await loader.stats()).counters;
  const { id } = await server.do('listen', { host: '10.77.0.2', port: 7000 });
  const client = await outside.do('connect', { host: '10.77.0.2', port: 7000 });
  const accepted = await server.do('accept', { id });
  await outside.do('send', { id: client.id, text: 'x' });
  expect((await server.do('receive', { id: accepted.id, size: 1 })).text).toBe('x');
  const { counters, sockets } = await loader.stats();
  expect(sockets).toBe(0);
  expect((counters.unpaired ?? 0) - (before.unpaired ?? 0)).toBe(1);
  // The opposite direction: a server outside of the accelerated cgroups.
  const foreign = await outside.do('listen', { host: '10.77.0.1', port: 7001 });
  await server.do('connect', { host: '10.77.0.1', port: 7001 });
  await outside.do('accept', { id: foreign.id });
  const after = await loader.stats();
  expect(after.sockets).toBe(0);
  expect((after.counters.not_local ?? 0) - (counters.not_local ?? 0)).toBe(1);
  await outside.do('close_all');
});

test('a new firewall rule applies to new connections and to open connections on the stack', async () => {
  const loader = await rig.accelerate();
  const [one, two] = [await rig.startAgent(pods[0].pid), await rig.startAgent(pods[1].pid)];
  const [host, port] = ['10.77.0.2', 7100];
  const { id } = await two.do('listen', { host, port });
  const client = await one.do('connect', { host, port });
  const server = await two.do('accept', { id });
  const says = async (text: string) => {
    await one.do('send', { id: client.id, text });
    return (await two.do('receive', { id: server.id, size: 9, timeout: 1 })).text;
  };
  expect(await says('before')).toBe('before');
  const rule = ['INPUT', '-p', 'tcp', '--dport', `${port}`, '-j', 'REJECT'];
  const reset = ['--reject-with', 'tcp-reset'];
  const inside = [`--net=/proc/${pods[1].pid}/ns/net`, 'iptables', '-A', ...rule, ...reset];
  await run('nsenter', inside);
  expect(await says('after')).toBe('after');
  expect((await one.do('connect', { host, port })).error).toBe('ECONNREFUSED');
  await loader.policy({ redirect: false });
  expect(await says('stack')).toBeUndefined();
});
