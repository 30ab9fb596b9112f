import { expect, test } from 'vitest';
import type { Agent } from '../../box/bypass/agent.ts';
import { useRig } from './rig.ts';

const rig = useRig();

type Ends = { client: number; server: number };
type Scenario = {
  name: string;
  /** The result that the application sees, without the parts that differ between kernels. */
  see(agent: Agent, ends: Ends): Promise<unknown>;
  /** The result on a socket in the map, if it differs. docs/bypass.md describes each difference. */
  redirected?: unknown;
  stack?: unknown;
};

const settle = () => new Promise((resolve) => setTimeout(resolve, 20));

const scenarios: Scenario[] = [
  {
    name: 'FIONREAD tells what is unread',
    async see(agent, { client, server }) {
      await agent.do('send', { id: client, size: 600 });
      await settle();
      const before = (await agent.do('unread', { id: server })).n;
      await agent.do('receive', { id: server, size: 200 });
      return [before, (await agent.do('unread', { id: server })).n];
    },
  },
  {
    name: 'MSG_PEEK leaves the data',
    async see(agent, { client, server }) {
      await agent.do('send', { id: client, text: 'hello' });
      const peeked = await agent.do('receive', { id: server, size: 5, flags: ['MSG_PEEK'] });
      return [peeked.text, (await agent.do('receive', { id: server, size: 5 })).text];
    },
  },
  {
    name: 'epoll reports data, level and edge, and nothing when it is read',
    async see(agent, { client, server }) {
      const before = await agent.do('poll', { id: server, timeout: 0.05 });
      await agent.do('send', { id: client, text: 'hello' });
      const level = await agent.do('poll', { id: server });
      const edge = await agent.do('poll', { id: server, edge: true });
      await agent.do('receive', { id: server, size: 5 });
      const after = await agent.do('poll', { id: server, timeout: 0.05 });
      return [before, level, edge, after].map(({ events }) => events);
    },
  },
  {
    name: 'a half-closed connection carries data the other way',
    async see(agent, { client, server }) {
      await agent.do('send', { id: client, text: 'request' });
      await agent.do('shutdown', { id: client });
      const request = await agent.do('receive', { id: server, size: 100 });
      const end = await agent.do('receive', { id: server, size: 100 });
      await agent.do('send', { id: server, text: 'response' });
      await agent.do('close', { id: server });
      const response = await agent.do('receive', { id: client, size: 100 });
      return [
        request.text,
        end.n,
        response.text,
        (await agent.do('receive', { id: client, size: 1 })).n,
      ];
    },
  },
  {
    name: 'what was sent before a close is read before its end',
    async see(agent, { client, server }) {
      await agent.do('send', { id: client, text: 'last words' });
      await agent.do('close', { id: client });
      await settle();
      const { events } = await agent.do('poll', { id: server });
      const data = await agent.do('receive', { id: server, size: 100 });
      return [events, data.text, (await agent.do('receive', { id: server, size: 1 })).n];
    },
  },
  {
    name: 'a reset reaches a reader that polls, and a writer',
    async see(agent, { client, server }) {
      await agent.do('close', { id: client, reset: true });
      await settle();
      const read = await agent.do('receive', { id: server, size: 1 });
      return [read.error, (await agent.do('send', { id: server, text: 'x' })).error];
    },
  },
  {
    name: 'writing to an end that has gone fails',
    async see(agent, { client, server }) {
      await agent.do('close', { id: server });
      await settle();
      const first = await agent.do('send', { id: client, text: 'x' });
      await settle();
      return [first.n, (await agent.do('send', { id: client, text: 'y' })).error];
    },
  },
  {
    name: 'an end that closes with unread data resets',
    async see(agent, { client, server }) {
      await agent.do('send', { id: client, text: 'unread' });
      await settle();
      await agent.do('close', { id: server });
      await settle();
      const { n, error } = await agent.do('receive', { id: client, size: 1 });
      return error ?? n;
    },
    redirected: 0,
    stack: 0,
  },
  {
    name: 'SO_RCVLOWAT holds readiness back',
    async see(agent, { client, server }) {
      const lowat = { id: server, level: 'SOL_SOCKET', name: 'SO_RCVLOWAT', value: 50 };
      await agent.do('setoption', lowat);
      await agent.do('send', { id: client, size: 10 });
      await settle();
      return (await agent.do('poll', { id: server, timeout: 0.05 })).events;
    },
    redirected: ['in'],
  },
  {
    name: 'an urgent byte stays out of the stream',
    async see(agent, { client, server }) {
      await agent.do('send', { id: client, text: 'urgent', flags: ['MSG_OOB'] });
      await settle();
      return (await agent.do('receive', { id: server, size: 10 })).text;
    },
    redirected: 'urgent',
    stack: 'urgent',
  },
  {
    name: 'MSG_WAITALL without blocking takes what is there',
    async see(agent, { client, server }) {
      await agent.do('send', { id: client, size: 50 });
      await settle();
      return (await agent.do('receive', { id: server, size: 100, flags: ['MSG_WAITALL'] })).n;
    },
  },
  {
    name: 'sendfile arrives whole',
    async see(agent, { client, server }) {
      return (await agent.do('sendfile', { client, server, size: 5_000_000 })).same;
    },
  },
  {
    name: 'splice takes data out of a socket',
    async see(agent, { client, server }) {
      await agent.do('send', { id: client, size: 100 });
      await settle();
      const { n, error } = await agent.do('splice', { id: server, size: 100 });
      return error ?? n;
    },
    redirected: 'EAGAIN',
    stack: 'EAGAIN',
  },
  {
    name: 'SO_ZEROCOPY can be set',
    async see(agent, { client }) {
      const zerocopy = { id: client, level: 'SOL_SOCKET', name: 'SO_ZEROCOPY', value: 1 };
      return (await agent.do('setoption', zerocopy)).error ?? 'set';
    },
    redirected: 'ENOTSUP',
    stack: 'ENOTSUP',
  },
];

async function observe({ see }: Scenario): Promise<unknown> {
  const { client, server } = await rig.agent.do('pair');
  // Both directions have carried a byte, so that neither is in its first moments.
  await rig.agent.do('send', { id: client, text: 'a' });
  await rig.agent.do('receive', { id: server, size: 1 });
  await rig.agent.do('send', { id: server, text: 'b' });
  await rig.agent.do('receive', { id: client, size: 1 });
  const seen = await see(rig.agent, { client, server });
  await rig.agent.do('close_all');
  return seen;
}

for (const scenario of scenarios)
  test(`${scenario.name}: off, redirected and back on the stack`, async () => {
    const off = await observe(scenario);
    const loader = await rig.accelerate();
    const redirected = await observe(scenario);
    expect((await loader.stats()).hops.other.redirectedMessages).toBeGreaterThan(0);
    await loader.policy({ redirect: false });
    const stack = await observe(scenario);
    expect({ redirected, stack }).toEqual({
      redirected: scenario.redirected ?? off,
      stack: scenario.stack ?? off,
    });
  });

for (const redirect of [true, false])
  test(`bytes that came before accept are there for a server that reads first and asks later, ${redirect ? 'redirected' : 'on the stack'}`, async () => {
    const loader = await rig.accelerate();
    await loader.policy({ redirect });
    const { id, port } = await rig.agent.do('listen');
    const client = await rig.agent.do('connect', { port });
    await rig.agent.do('send', { id: client.id, size: 600 });
    await settle();
    const server = await rig.agent.do('accept', { id });
    expect((await loader.stats()).sockets).toBe(2);
    expect((await rig.agent.do('poll', { id: server.id, edge: true })).events).toEqual(['in']);
    expect((await rig.agent.do('receive', { id: server.id, size: 200 })).n).toBe(200);
    expect((await rig.agent.do('unread', { id: server.id })).n).toBe(400);
    await rig.agent.do('send', { id: client.id, size: 100 });
    expect((await rig.agent.do('receive', { id: server.id, size: 999 })).n).toBe(500);
  });

test('a socket in the map cannot enable kTLS, as on a kernel without kTLS', async () => {
  const loader = await rig.accelerate();
  const { client } = await rig.agent.do('pair');
  const tls = { id: client, level: 'IPPROTO_TCP', name: 'TCP_ULP', value: 'tls' };
  expect((await rig.agent.do('setoption', tls)).error).toBe('ENOENT');
  expect((await loader.stats()).counters.refused_ulp).toBe(1);
});

test('a container whose reads block is left alone, after its first connection', async () => {
  const loader = await rig.accelerate();
  const reader = await rig.startAgent();
  const blocked = async () => {
    const ends = await reader.do('pair');
    return (await reader.do('blocked', ends)).events;
  };
  // The reason for the rule: if a connection is reset, the kernel returns EAGAIN to a reader that
  // blocks on a socket in a map.
  expect(await blocked()).toEqual(['EAGAIN', 'ECONNRESET']);
  expect(await blocked()).toEqual(['ECONNRESET', '0']);
  const { counters } = await loader.stats();
  expect(counters).toMatchObject({ woken: 1, refused_blocking: 2 });
});

test('no socket is taken in before another socket of its container has read', async () => {
  const loader = await rig.loader();
  await loader.start({ cgroups: [rig.cgroup] });
  await rig.agent.do('pair');
  expect((await loader.stats()).counters).toMatchObject({
    learning: 2,
    client_in: 0,
    server_in: 0,
  });
});
